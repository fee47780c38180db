"""Sampling from a mixture field."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from moefm.checks import check_mask, check_shape, check_share
from moefm.drawing import Router
from moefm.experts import check_index
from moefm.fields import MixtureField
from moefm.finite import can_look, check_finite, traced
from moefm.generators import Generators
from moefm.inputs import as_state, check_cond, check_field
from moefm.routing import Routing, get_routing
from moefm.scope import Scope
from moefm.solvers import ADAPTIVE, SOLVERS, Times, integrate, solver_times


class Sample(NamedTuple):
    """What a sampling run returns.

    Attributes:
        z1: Samples ``(*batch, D)``.
        assignment: Expert of every sample ``(*batch,)``; under time-varying routing the last one used, under ``mean``
            routing ``None``.
        trajectory: States ``(steps + 1, *batch, D)`` if requested, else ``None``.
        times: The grid, ``(steps + 1,)``.
        nfe: Evaluations of the trunk.

    Example:
        >>> from moefm import MLPMixtureField
        >>> out = sample(MLPMixtureField(2, 4), torch.zeros(5, 2), steps=3, trajectory=True)
        >>> isinstance(out, Sample), out.trajectory.shape, out.times
        (True, torch.Size([4, 5, 2]), tensor([0.0000, 0.3333, 0.6667, 1.0000]))
    """

    z1: Tensor
    assignment: Tensor | None
    trajectory: Tensor | None
    times: Tensor
    nfe: int


def check_pair(routing: Routing, solver: str) -> None:
    """Raise ``ValueError`` if the routing defeats the error control of the solver."""
    if routing.stochastic_in_time and solver in ADAPTIVE:
        raise ValueError(f"routing {routing!r} draws at every evaluation: use a fixed-step solver, not {solver!r}")


def sample(
    field: MixtureField,
    z0: Tensor,
    steps: int | None = None,
    *,
    times: Times = None,
    solver: str = "euler",
    routing: str | Routing = "frozen",
    hint: float = 0.0,
    cond: Any = None,
    assignment: Tensor | None = None,
    scope: Scope = None,
    mask: Tensor | None = None,
    generator: Generators = None,
    uniforms: Tensor | None = None,
    trajectory: bool = False,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> Sample:
    r"""Transport noise to data: draw an expert from the gate, then integrate :math:`dz = u_e(z, t)\,dt` (section 3.2).

    ``steps`` Euler steps cost exactly ``steps`` evaluations of the trunk: the one at t = 0 serves the gate and the
    first step. A field only computes the head of the chosen expert, unless computing all is cheaper. Gradients flow
    through the states; wrap the call in ``torch.no_grad()`` for inference.

    At t = 0 a trained field gives the velocity towards the mean of the data (or of an expert's part), whatever the
    noise is. With ``hint`` h the first evaluation treats the noise as the state :math:`(1 - h) z_0` of time h, as if
    data were hidden in it. The step still begins at :math:`z_0` and leads to the data point predicted there:

    .. math:: \hat z_1 = (1 - h) z_0 + (1 - h)\, u((1 - h) z_0, h), \qquad \hat z_1 - z_0 = (1 - h)\, u - h z_0.

    In few steps this helps most if a field has no experts (docs/guides/few-steps.md). It is not exact: with many
    steps and h = 0 samples follow the flow.

    Args:
        field: The field.
        z0: Noise ``(*batch, D)``, standard normal as in training; a tensor or an array.
        steps: Steps of the solver, by default 4 or as many as ``times`` lists; adaptive solvers only report there.
        times: Times of the steps: an :class:`moefm.InformationTime` (a field trained with one has it as
            ``field.time_change``), or all times from 0 to 1 in place of ``steps``. ``None`` is a uniform grid.
        solver: ``euler``, ``midpoint``, ``heun``, ``rk4`` or a method of torchdiffeq.
        routing: ``frozen``, ``greedy``, ``resampled``, ``mean``, ``argmax`` or a :class:`moefm.routing.Routing`.
        hint: Time h, from 0 to below 1; the first evaluation treats the noise as a state of time h. Not for students
            of :func:`moefm.distill`, which have learned their first step, nor for adaptive solvers.
        cond: Passed to the field unchanged.
        assignment: Use these experts ``(*batch,)`` instead of drawing them (frozen routing).
        scope: Which positions share one expert.
        mask: Boolean ``(*batch,)``: positions that count when gate logits are pooled over the scope.
        generator: One generator, or one per leading index, for results that do not depend on the rest of the batch.
        uniforms: Numbers in [0, 1) for drawing experts, ``(draws, *batch)``, in place of ``generator``
            (:func:`moefm.drawing.draw_uniforms`). With them a run draws no random numbers and, on a GPU, never
            waits for the device while a CUDA graph captures it.
        trajectory: Keep all states.
        rtol: Relative tolerance of adaptive solvers.
        atol: Absolute tolerance of adaptive solvers.

    Raises:
        ValueError: An option is unknown, a shape does not fit, ``times`` do not increase from 0 to 1 or do not
            agree with ``steps``, or an adaptive solver is combined with a ``hint`` or with a routing that draws at
            every evaluation, which would defeat its error control.
        NotFiniteError: A velocity or a gate logit is not finite at a position that counts. On an accelerator only the
            final result is checked, and only if no gradients are recorded: in training NaN shows in the loss.

    Example:
        >>> import torch
        >>> from moefm import MLPMixtureField
        >>> noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
        >>> out = sample(MLPMixtureField(2, 8), noise, steps=3, generator=torch.Generator().manual_seed(1))
        >>> out.z1.shape, out.assignment.shape, out.nfe
        (torch.Size([5, 2]), torch.Size([5]), 3)
    """
    check_field(field)
    z0 = as_state("z0", z0, field)
    policy = get_routing(routing)
    batch = z0.shape[:-1]
    check_mask(mask, tuple(batch))
    check_cond(field, cond, batch)
    check_pair(policy, solver)
    if check_share("hint", hint) == 1 or (hint and solver not in SOLVERS):
        raise ValueError(f"hint must be below 1, and 0 with a solver other than {', '.join(SOLVERS)}, got {hint!r}")
    grid = solver_times(steps, times, default=4, device=z0.device)
    if assignment is not None:
        if not policy.uses_assignment:
            raise ValueError(f"assignment must not be given with routing {policy!r}, which chooses experts by itself")
        check_index("assignment", assignment if traced() else assignment.cpu(), batch, field.num_experts)
    if uniforms is not None:
        check_shape("uniforms", uniforms, (len(uniforms), *batch), "(draws, *batch)")
    router = Router(generator, scope, mask, uniforms=uniforms)
    at_once = can_look(z0) or (solver in ADAPTIVE and not traced())  # adaptive solvers wait for the device anyway
    if at_once:
        check_finite("z0", z0, mask)
    nfe = 0

    def velocity(z: Tensor, t: Tensor) -> Tensor:
        nonlocal nfe, assignment
        nfe += 1
        early = hint if nfe == 1 else 0.0
        read, at = ((1 - early) * z, torch.full_like(t, early)) if early else (z, t)
        u, assignment = policy(field, field.trunk(read, at, cond), assignment, router)
        if early:
            u = (1 - early) * u - early * z
        u = (u if router.doubt is None else u + router.doubt).to(z0.dtype)
        if at_once:
            check_finite("velocity", u, mask, t=t)
        return u

    solution = integrate(velocity, z0, grid, solver, trajectory=trajectory, rtol=rtol, atol=atol)
    if at_once or not (traced() or torch.is_grad_enabled()):
        check_finite("z1", solution.z1, mask)
    return Sample(solution.z1, assignment, solution.trajectory, solution.times, nfe)
