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
        return grad.to(ctx.dtype).clamp_(-limit, limit)


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


def log_sum_exp(x: Tensor) -> Tensor:
    r"""Logarithm of :math:`\sum_k e^{x_k}` over the last dimension.

    It is :math:`x_k - \log \mathrm{softmax}(x)_k` for every k, and taken at the largest. ``torch.logsumexp`` takes up
    to twice as long on a CPU: its ``exp`` is slow where a result is too small for its dtype, as that of a far expert.

    Example:
        >>> log_sum_exp(torch.tensor([0.0, 0.0, -1000.0]))
        tensor(0.6931)
    """
    largest = x.detach().argmax(-1, keepdim=True)
    return (x.gather(-1, largest) - x.log_softmax(-1).gather(-1, largest)).squeeze(-1)


def fill_between(values: Tensor, known: Tensor) -> Tensor:
    """Values with unknown entries interpolated between known neighbours, those beyond the last ones repeated."""
    size = len(values)
    index = torch.arange(size, device=values.device)
    left = torch.where(known, index, -1).cummax(0).values
    right = torch.where(known, index, size).flip(0).cummin(0).values.flip(0)
    left, right = torch.where(left < 0, right, left), torch.where(right == size, left, right)
    left, right = left.clamp(0, size - 1), right.clamp(0, size - 1)
    weight = (index - left) / (right - left).clamp_min(1)
    return values[left].lerp(values[right], weight.to(values))


def interpolate(x: Tensor, nodes: Tensor, values: Tensor) -> Tensor:
    """The piecewise linear function through increasing ``nodes`` ``(n,)`` at ``x`` ``(*)``, constant beyond them."""
    at = wide(x)
    nodes, values = nodes.to(at), values.to(at)
    at = at.clamp(nodes[0], nodes[-1])
    right = torch.searchsorted(nodes, at.contiguous(), right=True).clamp(1, max(1, len(nodes) - 1))
    right = right.clamp(max=len(nodes) - 1)
    left = (right - 1).clamp_min(0)
    low, high = nodes.take(left), nodes.take(right)  # an index without dimensions would be copied to the host
    weight = (at - low) / (high - low).clamp_min(torch.finfo(at.dtype).tiny)
    return values.take(left).lerp(values.take(right), weight).to(x.dtype)


def falling_fit(values: Tensor) -> Tensor:
    r"""The curve that never rises and is nearest to ``values`` ``(n,)`` in least squares (isotonic regression).

    .. math:: g_i = \min_{a \le i} \max_{b \ge i} \operatorname{mean}(v_a, \dots, v_b)

    In place of the usual pooling this form has no steps that depend on the values, so it waits for no device.

    Example:
        >>> falling_fit(torch.tensor([3.0, 4.0, 1.0, 2.0, 0.0]))
        tensor([3.5000, 3.5000, 1.5000, 1.5000, 0.0000])
    """
    index = torch.arange(len(values), device=values.device)
    sums = torch.cat([values.new_zeros(1), values.cumsum(0)])
    length = index + 1 - index.unsqueeze(-1)  # of the stretch from a (rows) to b (columns)
    means = (sums[1:] - sums[:-1].unsqueeze(-1)) / length.clamp_min(1)
    highest = means.flip(-1).cummax(-1).values.flip(-1)
    return torch.where(length > 0, highest, torch.inf).amin(0)
