"""Exact log-densities of mixture flows under whole-sample frozen routing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from moefm.checks import check_count
from moefm.fields import MixtureField
from moefm.finite import check_logits
from moefm.generators import fresh
from moefm.inputs import as_state, check_cond, check_field, recordable
from moefm.scope import group_mean
from moefm.solvers import Times, integrate, solver_times


@torch.inference_mode(False)  # which would record nothing: every divergence would be 0
def log_prob(
    field: MixtureField,
    z1: Tensor,
    *,
    cond: Any = None,
    steps: int | None = None,
    times: Times = None,
    solver: str = "rk4",
    event_dims: int = 1,
    probes: int | None = None,
    generator: Generator | None = None,
    create_graph: bool = False,
) -> Tensor:
    r"""Log-density of the distribution that frozen routing samples from.

    Each expert k is its own flow :math:`\phi_k`, so the density is a mixture pulled back to the noise:

    .. math:: \log p_1(z_1) = \log \sum_k \pi_k(z_0^k, 0)\, \mathcal N(z_0^k; 0, I)\,
              e^{-\int_0^1 \nabla \cdot u_k(z_t^k, t)\,dt}, \qquad z_0^k = \phi_k^{-1}(z_1)

    This takes K backward integrations of the state together with the divergence. The divergence is exact, with one
    backward pass per coordinate, unless ``probes`` asks for Hutchinson's estimate. The result is the density of the
    continuous flow; a sampler with few steps has a different one.

    Args:
        field: The field.
        z1: Points ``(*batch, D)``; a tensor or an array.
        cond: Passed to the field unchanged.
        steps: Steps of the solver, by default 50 or as many as ``times`` lists.
        times: Times of the steps, as for :func:`moefm.sample`.
        solver: A solver's name, see :func:`moefm.solvers.integrate`.
        event_dims: Trailing dimensions that make up one sample: 1 for vectors; 2 for sequences ``(B, L, D)`` that share
            one expert (routing scope -1).
        probes: Number of random probes for the divergence; ``None`` is exact.
        generator: Source of the probes.
        create_graph: Record the computation, so that the result has gradients with respect to ``z1``, to the field's
            parameters and to ``cond``. It keeps every evaluation of the field in memory.

    Returns:
        Log-densities ``(*batch,)`` without the event dimensions, in nats.

    Raises:
        ValueError: ``event_dims`` does not fit ``z1``, a count is below 1, or ``times`` are no grid from 0 to 1.
        NotFiniteError: A row of gate logits is ``-inf`` throughout, or one is ``+inf``. NaN is passed on.

    Example:
        >>> from moefm import MLPMixtureField
        >>> log_prob(MLPMixtureField(2, 3), torch.randn(5, 2), steps=4).shape
        torch.Size([5])
    """
    check_field(field)
    z1, cond = recordable(as_state("z1", z1, field)), recordable(cond)
    if event_dims not in (1, 2) or z1.ndim < event_dims:
        raise ValueError(f"event_dims must be 1 or 2 and at most the dimensions of z1, got {event_dims!r}")
    check_cond(field, cond, z1.shape[:-1])
    z1 = z1 if create_graph else z1.detach()
    size = math.prod(z1.shape[-event_dims:])
    batch = z1.shape[: z1.ndim - event_dims]
    scope = None if event_dims == 1 else -1
    backwards = solver_times(steps, times, default=50, device=z1.device).flip(0)
    noise = None
    if probes is not None:
        source = fresh(generator)
        signs = torch.randint(0, 2, (check_count("probes", probes), *z1.shape), generator=source, device=source.device)
        noise = (2 * signs - 1).to(z1)

    def log_joint(k: int) -> Tensor:
        """Log-density of the points and expert k together."""
        index = torch.full(z1.shape[:-1], k, dtype=torch.long, device=z1.device)

        def velocity(state: Tensor, t: Tensor) -> Tensor:
            z = state[..., :-1].reshape(z1.shape)
            z = z if z.requires_grad else z.detach().requires_grad_()
            with torch.enable_grad():
                u = field.expert(z, t, index, cond)
                divergence = _divergence(u, z, event_dims, noise, create_graph)
                slope = torch.cat([u.reshape(*batch, size), divergence.unsqueeze(-1)], -1)
            return slope if create_graph else slope.detach()

        start = torch.cat([z1.reshape(*batch, size), z1.new_zeros(*batch, 1)], -1)
        end = integrate(velocity, start, backwards, solver).z1
        z0, log_det = end[..., :-1], end[..., -1]  # log_det = -int div, as time runs backwards
        logits = group_mean(field.gate(z0.reshape(z1.shape), 0.0, cond), scope)
        check_logits(logits, nan_passes=True)
        log_pi = torch.log_softmax(logits, -1)[..., k]
        log_pi = log_pi if event_dims == 1 else log_pi[..., 0]
        log_p0 = -0.5 * (z0.square().sum(-1) + size * math.log(2 * math.pi))
        return log_pi + log_p0 + log_det

    with torch.set_grad_enabled(create_graph):
        return torch.logsumexp(torch.stack([log_joint(k) for k in range(field.num_experts)]), 0)


def _divergence(u: Tensor, z: Tensor, event_dims: int, noise: Tensor | None, create_graph: bool) -> Tensor:
    """Trace of the Jacobian of each sample, exact or by random probes. Samples must not see each other."""
    if not u.requires_grad:
        return u.new_zeros(u.shape[: u.ndim - event_dims])
    dims = tuple(range(-event_dims, 0))
    if noise is not None:
        parts = [(_pullback(u, z, v, create_graph) * v).sum(dims) for v in noise]
        return torch.stack(parts).mean(0)
    total = u.new_zeros(u.shape[: u.ndim - event_dims])
    flat = torch.eye(math.prod(u.shape[-event_dims:]), dtype=u.dtype, device=u.device)
    for row in flat:
        v = row.reshape(u.shape[-event_dims:]).expand_as(u)
        total = total + (_pullback(u, z, v, create_graph) * v).sum(dims)
    return total


def _pullback(u: Tensor, z: Tensor, v: Tensor, create_graph: bool) -> Tensor:
    grad = torch.autograd.grad(u, z, v, retain_graph=True, create_graph=create_graph, allow_unused=True)[0]
    return torch.zeros_like(z) if grad is None else grad
