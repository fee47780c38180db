"""Regularizers of latents (MMD, scale) and of routing (entropy, load balance)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from moefm.checks import check_count, check_mask, check_positive
from moefm.finite import check_logits
from moefm.numeric import clean, masked_mean, wide

BANDWIDTHS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Kernel bandwidths of the paper, appendix A.4."""
BLOCK = 512
"""Points a block: its matrices stay in a core's cache, and on a CPU that is a third faster than four times as many."""


class _KernelMean(torch.autograd.Function):
    """Mean of the kernel over all pairs; ``within`` one sample (``x`` given twice) only pairs i != j count.

    The gradient is gathered beside the value, block by block, so that nothing of size n x m is ever kept.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, bandwidths: tuple[float, ...], block: int, within: bool) -> Tensor:
        pairs = len(x) * (len(x) - 1) if within else len(x) * len(y)
        need_x, need_y = ctx.needs_input_grad[:2]
        total, grad_x, grad_y = x.new_zeros(()), torch.zeros_like(x), torch.zeros_like(y)
        for i in range(0, len(x), block):
            # The kernel is symmetric: within one sample the upper triangle counts twice.
            for j in range(i if within else 0, len(y), block):
                xb, yb = x[i : i + block], y[j : j + block]
                factor = (2 if within and j > i else 1) / pairs
                kernel, slope = _kernel(xb, yb, bandwidths, slopes=need_x or need_y)
                if within and i == j:
                    kernel.fill_diagonal_(0)
                total += factor * kernel.sum()
                if need_x:
                    grad_x[i : i + block] += factor * (slope @ yb - slope.sum(1, keepdim=True) * xb)
                if need_y:
                    grad_y[j : j + block] += factor * (slope.T @ xb - slope.sum(0).unsqueeze(-1) * yb)
        ctx.save_for_backward(grad_x, grad_y)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_x, grad_y = ctx.saved_tensors
        return grad * grad_x, grad * grad_y, None, None, None


def _kernel(x: Tensor, y: Tensor, bandwidths: tuple[float, ...], slopes: bool) -> tuple[Tensor, Tensor]:
    """Kernel of all pairs of two blocks, and the weights w of its gradient w (y - x) with respect to x, if wanted."""
    if x.shape[-1] <= 8:  # exact differences; wider data goes through a matmul, which is many times faster
        d = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(-1)
    else:
        d = (x.square().sum(-1, keepdim=True) + y.square().sum(-1) - 2 * x @ y.T).clamp_min(0)
    kernel, slope = torch.zeros_like(d), torch.zeros_like(d)
    for s in bandwidths:
        part = torch.mul(d, -0.5 / s**2).clamp_(min=-80).exp_()  # exp is several times slower where it underflows
        kernel += part
        if slopes:
            slope.add_(part, alpha=1 / s**2)
    return kernel, slope


def mmd2(
    x: Tensor,
    y: Tensor,
    bandwidths: Sequence[float] = BANDWIDTHS,
    *,
    mask: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    r"""Unbiased estimate of the squared maximum mean discrepancy, Eq. (10) and appendix A.4.

    .. math:: \frac{1}{n(n-1)} \sum_{i \ne j} \kappa(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} \kappa(y_i, y_j)
              - \frac{2}{nm} \sum_{i,j} \kappa(x_i, y_j), \quad
              \kappa(a, b) = \sum_s e^{-|a - b|^2 / 2 s^2}

    Differentiable once, computed block by block in float32 (float64 for float64 points): a few ``block x block``
    matrices are held at a time. It can be slightly negative, as an unbiased estimate of zero must.

    Args:
        x: Points ``(*batch, D)``; leading dimensions are flattened.
        y: Points ``(*batch', D)`` of the other distribution. For a standard normal, as in the regularizer of Eq. (8),
            :func:`normal_mmd2` needs no draws and a third of the time.
        bandwidths: Kernel bandwidths s.
        mask: Boolean ``(*batch,)``: which points of ``x`` count, for instance all but the padding.
        block: Points in a block.

    Raises:
        ValueError: Widths differ, a bandwidth is not positive, or fewer than two points on a side.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(500, 2, generator=g), torch.randn(500, 2, generator=g)
        >>> bool(mmd2(x, y).abs() < 0.01), bool(mmd2(x + 3, y) > 1)
        (True, True)
    """
    block, scales = check_count("block", block), _scales(bandwidths)
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError(f"x and y must be (*batch, D) with the same D, got {tuple(x.shape)} and {tuple(y.shape)}")
    if mask is not None:
        check_mask(mask, tuple(x.shape[:-1]))
        x = x[mask]
    x, y = wide(x.reshape(-1, x.shape[-1])), wide(y.reshape(-1, y.shape[-1]))
    if len(x) < 2 or len(y) < 2:
        raise ValueError(f"x and y must hold at least two points each, got {len(x)} and {len(y)}")
    dtype = torch.promote_types(x.dtype, y.dtype)
    x, y = x.to(dtype), y.to(dtype)
    # MMD does not see translations, float32 does: centred points lose fewer digits in |a|^2 + |b|^2 - 2ab.
    mean_x, mean_y = x.detach().mean(0), y.detach().mean(0)
    own_x, own_y, centre = x - mean_x, y - mean_y, (mean_x + mean_y) / 2
    with torch.autocast(x.device.type, enabled=False):
        # A view, because the compiler does not trace a function that is given one tensor twice.
        within_x = _KernelMean.apply(own_x, own_x.view_as(own_x), scales, block, True)
        within_y = _KernelMean.apply(own_y, own_y.view_as(own_y), scales, block, True)
        return within_x + within_y - 2 * _KernelMean.apply(x - centre, y - centre, scales, block, False)


def normal_mmd2(
    x: Tensor, bandwidths: Sequence[float] = BANDWIDTHS, *, mask: Tensor | None = None, block: int = BLOCK
) -> Tensor:
    r"""Squared maximum mean discrepancy of points to a standard normal, Eq. (10), without draws from it.

    The two terms with the normal are known integrals:

    .. math:: \frac{1}{n(n-1)} \sum_{i \ne j} \kappa(x_i, x_j) + \sum_s \Big(\frac{s^2}{s^2 + 2}\Big)^{D/2}
              - \frac{2}{n} \sum_i \sum_s \Big(\frac{s^2}{s^2 + 1}\Big)^{D/2} e^{-|x_i|^2 / 2 (s^2 + 1)}

    This is the mean of :func:`mmd2` over all draws of the normal points: also unbiased, and with less variance.

    Args:
        x: Points ``(*batch, D)``; leading dimensions are flattened.
        bandwidths: Kernel bandwidths s.
        mask: Boolean ``(*batch,)``: which points count, for instance all but the padding.
        block: Points in a block.

    Raises:
        ValueError: A bandwidth is not positive, or there are fewer than two points.

    Example:
        >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> bool(normal_mmd2(x).abs() < 0.01), bool(normal_mmd2(x + 3) > 1)
        (True, True)
    """
    block, scales = check_count("block", block), _scales(bandwidths)
    if x.ndim < 2:
        raise ValueError(f"x must be (*batch, D), got {tuple(x.shape)}")
    if mask is not None:
        check_mask(mask, tuple(x.shape[:-1]))
        x = x[mask]
    x = wide(x.reshape(-1, x.shape[-1]))
    if len(x) < 2:
        raise ValueError(f"x must hold at least two points, got {len(x)}")
    half, squares = x.shape[-1] / 2, x.square().sum(-1)
    normal = math.fsum((s**2 / (s**2 + 2)) ** half for s in scales)
    between = x.new_zeros(())
    for s in scales:
        exponent = half * math.log(s**2 / (s**2 + 1)) - squares / (2 * (s**2 + 1))
        between = between + exponent.exp().mean()
    own = x - x.detach().mean(0)
    with torch.autocast(x.device.type, enabled=False):
        within: Tensor = _KernelMean.apply(own, own.view_as(own), scales, block, True)
    return within + normal - 2 * between


def _scales(bandwidths: Sequence[float]) -> tuple[float, ...]:
    if isinstance(bandwidths, Real) or len(bandwidths) == 0:
        raise ValueError(f"bandwidths must hold at least one positive number, such as (1.0,), got {bandwidths!r}")
    return tuple(check_positive("bandwidths", float(s)) for s in bandwidths)


def scale_penalty(z: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Mean square of the latents, :math:`E|z|^2 / D`: the scale term of Eq. (8), per coordinate.

    Args:
        z: Latents ``(*batch, D)``.
        mask: Boolean ``(*batch,)``, True = counts.

    Raises:
        ValueError: The mask is not boolean, or of another shape.

    Example:
        >>> scale_penalty(torch.full((3, 2), 2.0))
        tensor(4.)
    """
    check_mask(mask, tuple(z.shape[:-1]))
    return masked_mean(wide(clean(z, mask)).square().mean(-1), mask)


def gate_entropy(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Mean entropy of the routing, :math:`-E \sum_k \pi_k \log \pi_k`, in nats; at most log K.

    Args:
        logits: Gate logits ``(*batch, K)``.
        mask: Boolean ``(*batch,)``, True = counts.

    Raises:
        NotFiniteError: A row of logits is ``-inf`` throughout, or one is ``+inf``.

    Example:
        >>> gate_entropy(torch.zeros(3, 4))  # log 4
        tensor(1.3863)
    """
    check_mask(mask, tuple(logits.shape[:-1]))
    logits = wide(clean(logits, mask))
    check_logits(logits, nan_passes=True)
    log_pi = torch.log_softmax(logits, -1)
    return masked_mean(-(log_pi.exp() * log_pi.masked_fill(log_pi.isneginf(), 0)).sum(-1), mask)


def load_balance(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Imbalance of the mean routing, :math:`\log K - H(E[\pi])`, in nats: 0 if all experts are used equally.

    This is the Kullback-Leibler divergence of the average routing from uniform. Each single routing may still be as
    sharp as it likes.

    Args:
        logits: Gate logits ``(*batch, K)``.
        mask: Boolean ``(*batch,)``, True = counts.

    Raises:
        NotFiniteError: A row of logits is ``-inf`` throughout, or one is ``+inf``.

    Example:
        >>> load_balance(torch.tensor([[9.0, 0.0], [0.0, 9.0]]))
        tensor(0.)
    """
    check_mask(mask, tuple(logits.shape[:-1]))
    logits = wide(clean(logits, mask))
    check_logits(logits, nan_passes=True)
    pi = torch.softmax(logits, -1).reshape(-1, logits.shape[-1])
    if mask is not None:
        counts = mask.flatten().unsqueeze(-1)
        mean = pi.masked_fill(~counts, 0).sum(0) / counts.sum().clamp_min(1)
    else:
        mean = pi.mean(0)
    # Clamped, because the derivative of m log m is infinite at 0, where a pi that underflowed would make it NaN.
    negative_entropy = (mean * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()).sum()
    balance = math.log(pi.shape[-1]) + negative_entropy
    return balance if mask is None else balance * mask.any()
