"""Vanilla, mixture-of-experts and consistent flow matching losses, on predictions.

These are plain functions of tensors. ``moefm.objectives`` evaluates a field along the path and calls them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from moefm.checks import check_mask, check_positive, check_shape
from moefm.gating import log_shares
from moefm.numeric import clean, log_sum_exp, masked_mean, wide
from moefm.scope import Scope, group_size, group_sum


class Loss(NamedTuple):
    """A loss and its parts.

    ``total`` is the scalar to call ``backward`` on; ``velocity`` and ``gate`` are the detached scalars it is made of;
    ``responsibilities`` is the detached posterior over experts, ``(*batch, K)`` (``None`` for a single velocity);
    ``errors`` are the detached squared errors of the velocity ``(*batch,)``, the mean over experts by responsibility.

    Example:
        >>> loss = vfm_loss(torch.zeros(3, 2), torch.ones(3, 2))
        >>> isinstance(loss, Loss), loss.total, loss.errors
        (True, tensor(2.), tensor([2., 2., 2.]))
    """

    total: Tensor
    velocity: Tensor
    gate: Tensor
    responsibilities: Tensor | None = None
    errors: Tensor | None = None


def _check_mixture(velocities: Tensor, logits: Tensor | None, target: Tensor, mask: Tensor | None) -> None:
    if velocities.ndim < 2 or target.ndim != velocities.ndim - 1:
        raise ValueError(
            f"velocities must have shape (*batch, K, D) and target (*batch, D), "
            f"got {tuple(velocities.shape)} and {tuple(target.shape)}"
        )
    batch, experts, dim = velocities.shape[:-2], velocities.shape[-2], velocities.shape[-1]
    check_shape("target", target, (*batch, dim), "(*batch, D)")
    if logits is not None:
        check_shape("logits", logits, (*batch, experts), "(*batch, K)")
    check_mask(mask, tuple(batch))


def squared_distances(velocities: Tensor, target: Tensor) -> Tensor:
    r"""Distances :math:`|u_k - u^*|^2` of every expert, ``(*batch, K)``, in float32 or wider."""
    return (wide(velocities) - wide(target).unsqueeze(-2)).square().sum(-1)


def vfm_loss(velocity: Tensor, target: Tensor, mask: Tensor | None = None) -> Loss:
    r"""Vanilla flow matching loss, Eq. (2): :math:`E |u(z_t, t) - (z_1 - z_0)|^2`.

    Args:
        velocity: Predicted velocity ``(*batch, D)``.
        target: ``z1 - z0``, ``(*batch, D)``.
        mask: Boolean ``(*batch,)``, True = counts.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> vfm_loss(torch.zeros(4, 2), torch.ones(4, 2)).total
        tensor(2.)
    """
    if target.ndim < 1:
        raise ValueError("target must have shape (*batch, D), got ()")
    check_shape("velocity", velocity, tuple(target.shape), "that of target")
    check_mask(mask, tuple(target.shape[:-1]))
    error = squared_distances(clean(velocity, mask).unsqueeze(-2), clean(target, mask)).squeeze(-1)
    total = masked_mean(error, mask)
    return Loss(total, total.detach(), torch.zeros_like(total.detach()), errors=error.detach())


def _log_joint(d: Tensor, logits: Tensor, sigma: float, mask: Tensor | None, scope: Scope) -> tuple[Tensor, Tensor]:
    """Return scaled distances d / 2 sigma^2 and log pi, both pooled over the scope, ``(*batch, K)``."""
    log_pi = log_shares(logits, scope, mask)
    return group_sum(d, scope, mask) / (2 * sigma**2), log_pi.to(d.dtype)


def responsibilities(
    velocities: Tensor,
    logits: Tensor,
    target: Tensor,
    *,
    sigma: float,
    mask: Tensor | None = None,
    scope: Scope = None,
) -> Tensor:
    r"""Posterior probability ``(*batch, K)`` of each expert given the true velocity, Theorem 3.2 and Eq. (12).

    .. math:: \gamma_k = \pi_k e^{-|u^* - u_k|^2 / 2\sigma^2} / \sum_j \pi_j e^{-|u^* - u_j|^2 / 2\sigma^2}

    Args:
        velocities: Velocities of all experts ``(*batch, K, D)``.
        logits: Gate logits ``(*batch, K)``.
        target: ``z1 - z0``, ``(*batch, D)``.
        sigma: Standard deviation of the mixture components.
        mask: Boolean ``(*batch,)``, True = counts.
        scope: Which positions share one expert.

    Raises:
        ValueError: Shapes do not fit, or ``sigma`` is not positive.
        NotFiniteError: The logits leave no expert.

    Example:
        >>> u = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
        >>> responsibilities(u, torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), sigma=0.5)
        tensor([[9.9966e-01, 3.3535e-04]])
    """
    sigma = check_positive("sigma", sigma)
    _check_mixture(velocities, logits, target, mask)
    distances = squared_distances(clean(velocities, mask), clean(target, mask))
    d, log_pi = _log_joint(distances, logits, sigma, mask, scope)
    return torch.softmax(log_pi - (d - d.detach().amin(-1, keepdim=True)), -1)


def moefm_loss(
    velocities: Tensor,
    logits: Tensor,
    target: Tensor,
    *,
    sigma: float,
    mask: Tensor | None = None,
    scope: Scope = None,
    velocity_scale: float = 1.0,
    gate_scale: float = 1.0,
) -> Loss:
    r"""Mixture-of-experts flow matching loss, the negative log-likelihood of Eq. (5).

    .. math:: -\log \sum_k \pi_k \exp(-|u_k - u^*|^2 / 2\sigma^2)
              = \sum_k \gamma_k |u_k - u^*|^2 / 2\sigma^2 + \mathrm{KL}(\gamma \| \pi)

    The right-hand side gives the two parts. Their gradients are those of Lemma A.3; with ``velocity_scale`` or
    ``gate_scale`` other than 1 each part is scaled by its own factor, the responsibilities held fixed. At the default
    the loss is the raw likelihood of the paper. The Gaussian constant is left out, as in Eq. (5).

    With a ``scope`` the distances of a group are summed and its logits averaged before the sum over experts, so that
    one expert answers for the whole group; the result is still a mean over positions.

    Args:
        velocities: Velocity of every expert ``(*batch, K, D)``. Half precision is computed in float32, and gradients
            beyond its range saturate.
        logits: Gate logits ``(*batch, K)``; ``-inf`` means a probability of 0; at least one in each row has to be
            finite.
        target: ``z1 - z0``, ``(*batch, D)``.
        sigma: Standard deviation of the mixture components, in units of the velocity.
        mask: Boolean ``(*batch,)``, True = counts.
        scope: Which positions share one expert, see :mod:`moefm.scope`.
        velocity_scale: Factor of the velocity part.
        gate_scale: Factor of the gate part.

    Raises:
        ValueError: Shapes do not fit, or ``sigma <= 0``.
        NotFiniteError: A row of logits is ``-inf`` throughout, or one is ``+inf``. NaN is passed on to the loss.

    Example:
        >>> u = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
        >>> loss = moefm_loss(u, torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), sigma=0.5)
        >>> loss.total  # log 2, less a little: the gate does not know which of the two experts it will be
        tensor(0.6928)
    """
    sigma = check_positive("sigma", sigma)
    _check_mixture(velocities, logits, target, mask)
    distances = squared_distances(clean(velocities, mask), clean(target, mask))
    d, log_pi = _log_joint(distances, logits, sigma, mask, scope)
    # The nearest expert's distance is set aside: at small sigma it is so large that log pi would vanish beside it.
    nearest = d.detach().amin(-1, keepdim=True)
    spread = d - nearest
    log_joint = log_pi - spread
    log_sum = log_sum_exp(log_joint)
    gamma = torch.softmax(log_joint.detach(), -1)
    # One expert per group, counted once: every position carries an equal part of its group's likelihood.
    size = None if scope is None else group_size(d, scope, mask).squeeze(-1)

    def mean(values: Tensor) -> Tensor:
        return masked_mean(values if size is None else values / size, mask)

    plain = velocity_scale == 1 and gate_scale == 1
    total = mean(nearest.squeeze(-1) - log_sum)
    if plain:  # the parts are only shown
        spread, log_sum = spread.detach(), log_sum.detach()
    far = (gamma * spread).sum(-1)
    velocity = mean(nearest.squeeze(-1) + far)
    gate = mean(-log_sum - far)  # log(gamma / pi) = -spread - log_sum, for all experts with pi > 0
    if not plain:
        total = velocity_scale * velocity + gate_scale * gate
    return Loss(total, velocity.detach(), gate.detach(), gamma, (gamma * distances.detach()).sum(-1))


def consistent_moefm_loss(
    velocities: Tensor,
    velocities_0: Tensor,
    logits_0: Tensor,
    target: Tensor,
    *,
    sigma: float,
    mask: Tensor | None = None,
    scope: Scope = None,
    velocity_scale: float = 1.0,
    gate_scale: float = 1.0,
) -> Loss:
    r"""Mixture loss whose experts keep the share of the data that they have at t = 0.

    .. math:: -\sigma^2 \log \sum_k \pi_k(z_0, 0) e^{-|u_k(z_0, 0) - u^*|^2 / 2\sigma^2}
              + \tfrac12 \sum_k \gamma_k |u_k(z_t, t) - u^*|^2

    The responsibilities :math:`\gamma` are those of the first term, detached. With
    :math:`\pi_k(z_0) = E[\gamma_k | z_0]` every expert is plain flow matching on its own coupling, and frozen routing
    reproduces the data distribution in continuous time. Eq. (5) does not ensure this. Not in the paper.

    Args:
        velocities: Velocities at ``(z_t, t)``, ``(*batch, K, D)``.
        velocities_0: Velocities at ``(z_0, 0)``, ``(*batch, K, D)``.
        logits_0: Gate logits at ``(z_0, 0)``, ``(*batch, K)``.
        target: ``z1 - z0``, ``(*batch, D)``.
        sigma: Softness of the assignment, in units of the velocity.
        mask: Boolean ``(*batch,)``, True = counts.
        scope: Which positions share one expert.
        velocity_scale: Factor of both velocity terms.
        gate_scale: Factor of the gate term.

    Raises:
        ValueError: Shapes do not fit, or ``sigma <= 0``.
        NotFiniteError: A row of logits is ``-inf`` throughout, or one is ``+inf``. NaN is passed on to the loss.

    Example:
        >>> u = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
        >>> loss = consistent_moefm_loss(u, u, torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), sigma=0.5)
        >>> loss.responsibilities.argmax()
        tensor(0)
    """
    _check_mixture(velocities, None, target, mask)
    check_shape("velocities_0", velocities_0, tuple(velocities.shape), "that of velocities")
    check_shape("logits_0", logits_0, tuple(velocities.shape[:-1]), "(*batch, K)")
    scales = {"velocity_scale": velocity_scale, "gate_scale": gate_scale}
    start = moefm_loss(velocities_0, logits_0, target, sigma=sigma, mask=mask, scope=scope, **scales)
    gamma = start.responsibilities
    assert gamma is not None
    errors = (gamma * squared_distances(clean(velocities, mask), clean(target, mask))).sum(-1)
    later = 0.5 * masked_mean(errors, mask)
    total = sigma**2 * start.total + velocity_scale * later
    velocity = (sigma**2 * start.velocity + later).detach()
    return Loss(total, velocity, sigma**2 * start.gate, gamma, errors.detach())
