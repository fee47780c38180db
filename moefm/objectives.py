"""Training objectives: evaluate a field on the path and call its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from moefm.checks import check_mask, check_positive
from moefm.fields import MixtureField
from moefm.information import information_of
from moefm.inputs import as_state, check_instance
from moefm.losses import Loss, consistent_moefm_loss, moefm_loss, vfm_loss
from moefm.numeric import clean
from moefm.paths import TimeSampler, UniformTime, linear_path
from moefm.scope import Scope

RATE = 0.005
"""Weight of one row in the curve that an information time measures: its mean goes over some hundred rows a bin."""


class PathPoint(NamedTuple):
    """Where a loss is evaluated: noise, one time per row, the point of the path there, and the velocity to learn."""

    z0: Tensor
    t: Tensor
    z_t: Tensor
    target: Tensor


class Objective(ABC):
    r"""A training objective: call it with a field and a batch of pairs to get a :class:`moefm.Loss`.

    Write your own by implementing ``loss``, from :class:`PathPoint`: ``z0``, ``z_t`` and ``target`` ``(*batch, D)``,
    ``t`` one time for each row.

    If ``time`` is an :class:`moefm.InformationTime`, or is based on one, each call on a field in training mode measures
    its curve. For every row this is the squared error of the predicted :math:`z_1`,

    .. math:: |\hat z_1 - z_1|^2 = (1 - t)^2 |u - u^*|^2, \qquad \hat z_1 = z_t + (1 - t) u,

    the part of the data that is not known yet, as a mean over positions that count. The error of the velocity
    itself is not used, since it does not fall with t. A loss without ``errors`` is not measured.

    Attributes:
        evaluations: Evaluations of the trunk per pair, for fair budgets.
        time: Distribution of the training times.

    Example:
        >>> from moefm import MLPMixtureField
        >>> class Absolute(Objective):  # |u - u*| in place of its square
        ...     def loss(self, field, at, cond, mask):
        ...         velocity = field.experts(at.z_t, at.t, cond).squeeze(-2)
        ...         total = (velocity - at.target).abs().mean()
        ...         return Loss(total, total.detach(), torch.zeros(()))
        >>> Absolute()(MLPMixtureField(2, 1), torch.randn(8, 2), torch.randn(8, 2)).total.shape
        torch.Size([])
    """

    evaluations = 1
    time: TimeSampler = UniformTime()

    def __call__(
        self,
        field: MixtureField,
        z0: Tensor,
        z1: Tensor,
        *,
        cond: Any = None,
        mask: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Loss:
        """Loss of ``field`` on pairs ``(*batch, D)``, at one random time per row of the first dimension.

        Positions outside ``mask`` become zeros, so that nothing in the padding reaches the gradients of the weights.
        """
        z0, z1 = as_state("z0", z0, field), as_state("z1", z1, field)
        check_mask(mask, tuple(z0.shape[:-1]))
        z0, z1 = clean(z0, mask), clean(z1, mask)
        t = self.time(z0.shape[:1] if z0.ndim > 1 else (), generator=generator, device=z0.device).to(z0.dtype)
        loss = self.loss(field, PathPoint(z0, t, *linear_path(z0, z1, t)), cond, mask)
        information = information_of(self.time)
        if information is not None and information.learn and field.training and loss.errors is not None:
            information.observe(t, _unknown(loss.errors, t, mask), RATE)
        return loss

    @abstractmethod
    def loss(self, field: MixtureField, at: PathPoint, cond: Any, mask: Tensor | None) -> Loss:
        """Loss of ``field`` at one point of the path per row."""


def _unknown(errors: Tensor, t: Tensor, mask: Tensor | None) -> Tensor:
    """What is not known of z1 at each time, in the shape of t; NaN where nothing counts."""
    counted = torch.ones_like(errors) if mask is None else mask.to(errors)
    rows = (counted * errors).reshape(*t.shape, -1).sum(-1) / counted.reshape(*t.shape, -1).sum(-1)
    return (1 - t).square() * rows


@dataclass(frozen=True)
class VFM(Objective):
    """Vanilla flow matching, Eq. (2), for a field with one expert.

    Attributes:
        time: Distribution of the training times.

    Raises:
        ValueError: Called with a field of several experts.
        TypeError: ``time`` is a class, not an instance.

    Example:
        >>> from moefm import MLPMixtureField
        >>> VFM()(MLPMixtureField(2, 1), torch.randn(8, 2), torch.randn(8, 2)).total.shape
        torch.Size([])
    """

    time: TimeSampler = UniformTime()

    def __post_init__(self) -> None:
        """Check the time."""
        check_instance("time", self.time)

    def loss(self, field: MixtureField, at: PathPoint, cond: Any, mask: Tensor | None) -> Loss:
        """Squared error of the one velocity."""
        if field.num_experts != 1:
            raise ValueError(f"field must have one expert for VFM, got {field.num_experts}: use MoEFM")
        return vfm_loss(field.experts(at.z_t, at.t, cond).squeeze(-2), at.target, mask)


@dataclass(frozen=True)
class MoEFM(Objective):
    """The paper's mixture likelihood, Eq. (5).

    Attributes:
        sigma: Standard deviation of the mixture components.
        time: Distribution of the training times.
        scope: Which positions share one expert.
        velocity_scale: Factor of the velocity part.
        gate_scale: Factor of the gate part.

    Raises:
        ValueError: ``sigma`` is not positive.
        TypeError: ``time`` is a class, not an instance.

    Example:
        >>> from moefm import MLPMixtureField
        >>> MoEFM(sigma=0.1)(MLPMixtureField(2, 4), torch.randn(8, 2), torch.randn(8, 2)).responsibilities.shape
        torch.Size([8, 4])
    """

    sigma: float = 0.1
    time: TimeSampler = UniformTime()
    scope: Scope = None
    velocity_scale: float = 1.0
    gate_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check sigma and the time."""
        check_positive("sigma", self.sigma)
        check_instance("time", self.time)

    def _options(self, mask: Tensor | None) -> dict[str, Any]:
        return {
            "sigma": self.sigma,
            "mask": mask,
            "scope": self.scope,
            "velocity_scale": self.velocity_scale,
            "gate_scale": self.gate_scale,
        }

    def loss(self, field: MixtureField, at: PathPoint, cond: Any, mask: Tensor | None) -> Loss:
        """Likelihood of the true velocity at ``(z_t, t)``."""
        velocities, logits = field(at.z_t, at.t, cond)
        return moefm_loss(velocities, logits, at.target, **self._options(mask))


@dataclass(frozen=True)
class ConsistentMoEFM(MoEFM):
    """The consistent mixture loss: responsibilities fixed at t = 0. It has the options of :class:`MoEFM`.

    Each pair costs two evaluations.

    Example:
        >>> from moefm import MLPMixtureField
        >>> ConsistentMoEFM()(MLPMixtureField(2, 4), torch.randn(8, 2), torch.randn(8, 2)).total.shape
        torch.Size([])
    """

    evaluations = 2
    sigma: float = 0.2

    def loss(self, field: MixtureField, at: PathPoint, cond: Any, mask: Tensor | None) -> Loss:
        """Responsibilities at ``(z0, 0)``, velocities there and at ``(z_t, t)``."""
        velocities_0, logits_0 = field(at.z0, torch.zeros_like(at.t), cond)
        velocities = field.experts(at.z_t, at.t, cond)
        return consistent_moefm_loss(velocities, velocities_0, logits_0, at.target, **self._options(mask))
