"""Arithmetic that every loss shares: wide enough, and blind to what a mask leaves out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Upcast(torch.autograd.Function):
    """Cast half precision to float32; on the way back saturate instead of overflowing to infinity."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.float()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        limit = torch.finfo(ctx.dtype).max
        return grad.clamp(-limit, limit).to(ctx.dtype)


def wide(x: Tensor) -> Tensor:
    """Compute in float32 at least: float64 stays, half precision is cast up."""
    return _Upcast.apply(x) if x.dtype in (torch.float16, torch.bfloat16) else x


def clean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero what the mask leaves out before any arithmetic, so that not even a NaN of the padding can leak."""
    if mask is None:
        return x
    return x.masked_fill(~mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim)), 0)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over counted positions; 0 where nothing counts."""
    if mask is None:
        return values.mean()
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp_min(1)
