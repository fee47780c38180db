"""Training objectives: evaluate a field on the path and call its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from moefm._checks import check_mask, check_positive
from moefm._numeric import clean
from moefm.fields import MixtureField
from moefm.losses import Loss, consistent_moefm_loss, moefm_loss, vfm_loss
from moefm.paths import TimeSampler, UniformTime, linear_path
from moefm.scope import Scope


class Objective(ABC):
    """A training objective: call it with a field and a batch of pairs, get a :class:`moefm.Loss`.

    Attributes:
        evaluations: Evaluations of the trunk per pair, for fair budgets.
    """

    evaluations = 1

    @abstractmethod
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
        """Loss of ``field`` on pairs ``(*batch, D)``, at one random time per row of the first dimension."""


def _on_path(
    z0: Tensor, z1: Tensor, mask: Tensor | None, time: TimeSampler, generator: Generator | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return noise, one time per row, the point of the path there and the target velocity.

    Positions outside the mask become zeros: whatever the padding held, a network's gradients would remember it.
    """
    check_mask(mask, tuple(z0.shape[:-1]))
    z0, z1 = clean(z0, mask), clean(z1, mask)
    t = time(z0.shape[:1] if z0.ndim > 1 else (), generator=generator, device=z0.device).to(z0.dtype)
    z_t, target = linear_path(z0, z1, t)
    return z0, t, z_t, target


@dataclass(frozen=True)
class VFM(Objective):
    """Vanilla flow matching, Eq. (2), for a field with one expert.

    Example:
        >>> from moefm import MLPMixtureField
        >>> VFM()(MLPMixtureField(2, 1), torch.randn(8, 2), torch.randn(8, 2)).total.shape
        torch.Size([])
    """

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
        """Loss on pairs ``(*batch, D)``."""
        if field.num_experts != 1:
            raise ValueError(f"field must have one expert for VFM, got {field.num_experts}: use MoEFM")
        z0, t, z_t, target = _on_path(z0, z1, mask, self.time, generator)
        return vfm_loss(field.experts(z_t, t, cond).squeeze(-2), target, mask)


@dataclass(frozen=True)
class MoEFM(Objective):
    """The paper's mixture likelihood, Eq. (5).

    Attributes:
        sigma: Standard deviation of the mixture components.
        time: Distribution of the training times.
        scope: Which positions share one expert.
        velocity_scale: Factor of the velocity part.
        gate_scale: Factor of the gate part.

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
        """Check sigma."""
        check_positive("sigma", self.sigma)

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
        """Loss on pairs ``(*batch, D)``."""
        z0, t, z_t, target = _on_path(z0, z1, mask, self.time, generator)
        velocities, logits = field(z_t, t, cond)
        return moefm_loss(
            velocities,
            logits,
            target,
            sigma=self.sigma,
            mask=mask,
            scope=self.scope,
            velocity_scale=self.velocity_scale,
            gate_scale=self.gate_scale,
        )


@dataclass(frozen=True)
class ConsistentMoEFM(Objective):
    """The consistent mixture loss: responsibilities are fixed at t = 0. Two evaluations a pair.

    Attributes:
        sigma: Softness of the assignment.
        time: Distribution of the training times.
        scope: Which positions share one expert.
        velocity_scale: Factor of the velocity terms.
        gate_scale: Factor of the gate term.

    Example:
        >>> from moefm import MLPMixtureField
        >>> ConsistentMoEFM()(MLPMixtureField(2, 4), torch.randn(8, 2), torch.randn(8, 2)).total.shape
        torch.Size([])
    """

    evaluations = 2
    sigma: float = 0.2
    time: TimeSampler = UniformTime()
    scope: Scope = None
    velocity_scale: float = 1.0
    gate_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check sigma."""
        check_positive("sigma", self.sigma)

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
        """Loss on pairs ``(*batch, D)``."""
        z0, t, z_t, target = _on_path(z0, z1, mask, self.time, generator)
        velocities_0, logits_0 = field(z0, torch.zeros_like(t), cond)
        return consistent_moefm_loss(
            field.experts(z_t, t, cond),
            velocities_0,
            logits_0,
            target,
            sigma=self.sigma,
            mask=mask,
            scope=self.scope,
            velocity_scale=self.velocity_scale,
            gate_scale=self.gate_scale,
        )
