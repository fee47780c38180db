"""A continuum of experts: one velocity for every number from 0 to 1, in place of K heads and a gate."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from moefm.checks import check_count
from moefm.conditions import check_vectors, expand_vectors
from moefm.experts import check_index
from moefm.fields import MixtureField, sizes_of
from moefm.inputs import as_tensor
from moefm.paths import expand_time

WAVES = 6
"""Frequencies by which layers read the number: half a wave over [0, 1], one, two, and so on."""
GOLDEN = 0.6180339887


class Marked(NamedTuple):
    """One evaluation of what all experts share, and the points to evaluate."""

    hidden: Tensor  # (*batch, H)
    numbers: Tensor  # (K,)


class ContinuumField(MixtureField):
    r"""A mixture field whose experts are the points :math:`\lambda` of [0, 1]: velocities :math:`u(z_t, t; \lambda)`.

    The sum in the mixture of Eq. (4) becomes an integral in which all points are equally likely:

    .. math:: p(u \mid z_t) = \int_0^1 N\big(u;\, u(z_t, t; \lambda),\, \sigma^2 I\big)\, d\lambda

    Every evaluation uses K points, one from each of K equal parts of [0, 1]. In evaluation mode they are the middles of
    the parts. In training mode each evaluation moves them within the parts, so that the loss of the mixture estimates
    that of the integral. Losses, routing and samplers see K experts. You may change K at any time by
    ``field.num_experts = n``, for example to sample with more points than in training. If the data lie on curves,
    neighbouring points take neighbouring parts of them.

    Not in the paper. The idea of a number that words share is from Di4C (Hayakawa et al., 2024).

    Args:
        dim: Dimension D of the state.
        num_experts: K, the number of points in an evaluation.
        hidden: Width of the layers.
        layers: Number of hidden layers that all points share; two more layers read the point.
        cond_dim: Width of an optional condition ``(*batch, cond_dim)``; leading dimensions broadcast from the left.

    Raises:
        ValueError: A count is out of range, or an input has another width.

    Example:
        >>> field = ContinuumField(dim=2, num_experts=16)
        >>> velocities, logits = field(torch.randn(5, 2), 0.5)
        >>> velocities.shape, logits.shape
        (torch.Size([5, 16, 2]), torch.Size([5, 16]))
        >>> field.num_experts = 64
        >>> field.eval().experts(torch.randn(5, 2), 0.5).shape
        torch.Size([5, 64, 2])
    """

    place: Tensor

    def __init__(
        self, dim: int, num_experts: int = 16, hidden: int = 128, layers: int = 3, *, cond_dim: int = 0
    ) -> None:
        super().__init__()
        self.dim = check_count("dim", dim)
        self.num_experts = check_count("num_experts", num_experts)
        self.hidden = check_count("hidden", hidden)
        self.layers = check_count("layers", layers)
        self.cond_dim = check_count("cond_dim", cond_dim, minimum=0)
        widths = [self.dim + 1 + self.cond_dim, *[self.hidden] * self.layers]
        self.shared = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        modulation = (nn.Linear(2 * WAVES, self.hidden), nn.SiLU(), nn.Linear(self.hidden, 2 * self.hidden))
        self.number = nn.Sequential(*modulation)
        self.mixed = nn.Linear(self.hidden, self.hidden)
        self.out = nn.Linear(self.hidden, self.dim)
        self.register_buffer("place", torch.tensor(0.5))

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that rebuild this field."""
        names = ("dim", "num_experts", "hidden", "layers", "cond_dim")
        return {name: getattr(self, name) for name in names}

    def numbers(self) -> Tensor:
        """K points ``(K,)``, one in each of K equal parts of [0, 1]."""
        within = torch.full_like(self.place, 0.5)
        if self.training:  # places that follow one another by the golden ratio fill a part evenly, without a generator
            self.place = within = (self.place + GOLDEN) % 1
        return (torch.arange(self.num_experts, device=within.device) + within) / self.num_experts

    def trunk(self, z: Tensor, t: Tensor | float, cond: Tensor | None = None) -> Marked:
        """Join state, time and condition, run the shared layers, and draw the points."""
        if z.ndim < 1 or z.shape[-1] != self.dim:
            raise ValueError(f"z must have shape (*batch, {self.dim}), got {tuple(z.shape)}")
        self.check_cond(cond, z.shape[:-1])
        parts = [z, expand_time(t, z)]
        hidden = torch.cat(parts if cond is None else [*parts, expand_vectors(as_tensor("cond", cond), z)], -1)
        for layer in self.shared:
            hidden = nn.functional.silu(layer(hidden))
        return Marked(hidden, self.numbers())

    def check_cond(self, cond: Any, batch: torch.Size) -> None:
        """Raise unless ``cond`` holds the vectors ``(*batch, cond_dim)`` of this field."""
        if (cond is None) != (self.cond_dim == 0):
            wanted = "be given" if cond is None else "not be given"
            raise ValueError(f"cond must {wanted}: cond_dim={self.cond_dim}")
        if cond is not None:
            check_vectors(as_tensor("cond", cond), batch, self.cond_dim)

    def heads(self, features: Marked) -> Tensor:
        """Velocities at all points, ``(*batch, K, D)``."""
        return self._read(features.hidden.unsqueeze(-2), features.numbers)

    def head(self, features: Marked, index: Tensor) -> Tensor:
        """Velocity at point ``index`` ``(*batch,)`` only, ``(*batch, D)``."""
        check_index("index", index, features.hidden.shape[:-1], self.num_experts)
        return self._read(features.hidden, features.numbers[index.long()])

    def _read(self, hidden: Tensor, numbers: Tensor) -> Tensor:
        """Velocities of shared features ``(*, H)`` at numbers that broadcast with their leading dimensions."""
        angles = numbers.unsqueeze(-1) * torch.pi * 2.0 ** torch.arange(WAVES, device=numbers.device)
        scale, shift = self.number(torch.cat([angles.cos(), angles.sin()], -1).to(hidden)).chunk(2, -1)
        hidden = nn.functional.silu(self.mixed(hidden * (1 + scale) + shift))
        velocity: Tensor = self.out(hidden)
        return velocity

    def gate_logits(self, features: Marked) -> Tensor:
        """Zeros ``(*batch, K)``: all points are equally likely."""
        return features.hidden.new_zeros(*features.hidden.shape[:-1], self.num_experts)

    def __repr__(self) -> str:
        """One line with the sizes and the number of parameters."""
        return sizes_of(self, self.config)
