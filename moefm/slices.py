"""Sliced Wasserstein-2 distance between clouds of any two sizes."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from moefm.checks import check_count
from moefm.generators import fresh


def sliced_w2(x: Tensor, y: Tensor, directions: int = 200, generator: Generator | None = None) -> float:
    r"""Root of the mean squared W2 distance of two clouds projected on random directions :math:`\theta`.

    .. math:: SW_2^2 = E_\theta\, W_2^2(\theta \cdot x, \theta \cdot y)

    On a line W2 compares quantiles, so the clouds may differ in size. Shrinking a cloud hardly makes this distance
    smaller, as it does :func:`moefm.diagnostics.w2` in many dimensions.

    Args:
        x: Points ``(N, D)``.
        y: Points ``(M, D)``.
        directions: Number of directions.
        generator: Source of the directions.

    Raises:
        ValueError: A cloud is empty or not finite, or their widths differ.

    Example:
        >>> sliced_w2(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0], [3.0], [3.0]]))
        1.0
    """
    for name, cloud in (("x", x), ("y", y)):
        if cloud.ndim != 2 or len(cloud) == 0 or not bool(cloud.isfinite().all()):
            raise ValueError(f"{name} must be finite points (N, D) with N >= 1, got shape {tuple(cloud.shape)}")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y must be as wide as x, got {y.shape[1]} and {x.shape[1]}")
    source, directions = fresh(generator), check_count("directions", directions)
    theta = torch.randn(x.shape[1], directions, generator=source, device=source.device).cpu().double()
    theta = theta / theta.norm(dim=0)
    along_x, along_y = ((cloud.detach().cpu().double() @ theta).sort(0).values for cloud in (x, y))
    n, m = len(x), len(y)
    ends = torch.cat([torch.arange(n + 1).double() / n, torch.arange(1, m).double() / m]).sort().values
    middle = (ends[1:] + ends[:-1]) / 2  # between two ends both quantile functions are constant
    gap = along_x[(middle * n).long().clamp_max(n - 1)] - along_y[(middle * m).long().clamp_max(m - 1)]
    return math.sqrt(float((ends.diff() @ gap.square()).mean()))
