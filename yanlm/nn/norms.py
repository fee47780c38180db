"""Norms whose scales and shifts follow the time, one by one or all from one product."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Change(NamedTuple):
    """What a time does to a norm, each ``(*, d)``."""

    scale: Tensor
    shift: Tensor


Time = Tensor | tuple[Change, ...] | None
"""An embedded time, or the result of :class:`Modulations` for the norms of a block, or ``None``."""


class Norm(nn.Module):
    """LayerNorm; if there is a time, its scale and shift follow it (adaptive LayerNorm)."""

    def __init__(self, width: int, time_width: int = 0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=time_width == 0)
        self.modulation = nn.Linear(time_width, 2 * width) if time_width else None
        if self.modulation is not None:
            nn.init.normal_(self.modulation.weight, std=0.02)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, time: Tensor | Change | None) -> Tensor:
        x = self.norm(x)
        if self.modulation is None:
            return x
        scale, shift = time if isinstance(time, Change) else self.modulation(time).chunk(2, -1)
        return x * (1 + scale) + shift


def is_plain(linear: nn.Module) -> bool:
    """Whether a linear map is its weight and bias and nothing more: no adapter, no quantized weights, no hooks."""
    hooked = linear._forward_hooks or linear._forward_pre_hooks or hasattr(linear, "_hf_hook")
    return type(linear) is nn.Linear and not hooked


class Modulations(NamedTuple):
    """The maps from time to scales and shifts of several norms, as one map."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def joined(cls, norms: Iterable[Norm]) -> Modulations | None:
        """Those of norms; ``None`` if one of them is not a plain map."""
        maps = [norm.modulation for norm in norms if norm.modulation is not None]
        if not all(map(is_plain, maps)):
            return None
        return cls(torch.cat([linear.weight for linear in maps]), torch.cat([linear.bias for linear in maps]))

    def at(self, time: Tensor, width: int) -> tuple[Change, ...]:
        """What a time does to each of the norms."""
        both = F.linear(time, self.weight, self.bias).split(width, -1)
        return tuple(map(Change, both[::2], both[1::2]))
