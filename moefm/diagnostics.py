"""Measures of samples, trajectories and experts (Fig. 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from moefm.checks import check_count, check_shape
from moefm.couplings import optimal_permutation


def _check_cloud(name: str, points: Tensor) -> None:
    if points.ndim != 2 or len(points) == 0:
        raise ValueError(f"{name} must be points (N, D) with N >= 1, got shape {tuple(points.shape)}")
    if not bool(points.isfinite().all()):
        raise ValueError(f"{name} must be finite: it holds NaN or infinity")


def w2(x: Tensor, y: Tensor) -> float:
    r"""Wasserstein-2 distance between two sets of N points, by exact assignment.

    .. math:: W_2^2 = \min_\tau \frac1N \sum_i |x_i - y_{\tau(i)}|^2

    Two sets from the same distribution are not at distance zero: see :func:`excess_w2`.

    Args:
        x: Points ``(N, D)``.
        y: Points ``(N, D)``.

    Raises:
        ValueError: The shapes differ, or the points are not finite.

    Example:
        >>> w2(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [3.0]]))  # sqrt((1 + 4) / 2)
        1.58113883...
    """
    _check_cloud("x", x)
    _check_cloud("y", y)
    check_shape("y", y, tuple(x.shape), "that of x")
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    # The data as rows: SciPy's assignment is twice as fast that way round on collapsed samples.
    cost = torch.cdist(y, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    return math.sqrt(float(cost[torch.arange(len(x)), optimal_permutation(cost)].mean()))


def excess_w2(distance: float, floor: float) -> float:
    r"""A W2 distance above its noise floor: :math:`\sqrt{\max(W_2^2 - \mathrm{floor}^2, 0)}`.

    Args:
        distance: W2 between samples and data.
        floor: W2 between two independent sets of data of the same size.

    Example:
        >>> excess_w2(0.5, 0.3)
        0.4
    """
    return math.sqrt(max(distance**2 - floor**2, 0.0))


def nearest_distance(x: Tensor, y: Tensor, block: int = 2048) -> Tensor:
    """Distance ``(N,)`` of every point of ``x`` ``(N, D)`` to the nearest of ``y`` ``(M, D)``, a block at a time."""
    return torch.cat([torch.cdist(b, y, compute_mode="donot_use_mm_for_euclid_dist").amin(-1) for b in x.split(block)])


def off_support(samples: Tensor, data: Tensor, fresh: Tensor, quantile: float = 0.99) -> float:
    """Share of samples that are farther from the data than nearly all fresh data.

    The radius is the given quantile of the distance from ``fresh`` to its nearest neighbour in ``data``: a perfect
    sampler scores ``1 - quantile``. A collapsed one scores 0, so read it together with W2.

    Args:
        samples: Points ``(N, D)``.
        data: Reference points ``(M, D)``.
        fresh: Points ``(N', D)`` of the data distribution that are not in ``data``.
        quantile: Share of fresh data that counts as on the support.

    Raises:
        ValueError: Points are not ``(N, D)`` or not finite, or ``quantile`` is not between 0 and 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> data, fresh = torch.rand(500, 2, generator=g), torch.rand(500, 2, generator=g)
        >>> off_support(torch.tensor([[0.5, 0.5], [3.0, 3.0]]), data, fresh)
        0.5
    """
    for name, points in (("samples", samples), ("data", data), ("fresh", fresh)):
        _check_cloud(name, points)
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must lie in (0, 1), got {quantile!r}")
    dtype = torch.promote_types(
        torch.promote_types(samples.dtype, data.dtype), torch.promote_types(fresh.dtype, torch.float32)
    )
    samples, data, fresh = (points.detach().to(dtype) for points in (samples, data, fresh))
    radius = torch.quantile(nearest_distance(fresh, data), quantile)
    return float((nearest_distance(samples, data) > radius).float().mean())


def straightness(trajectory: Tensor, times: Tensor) -> float:
    r"""How far trajectories are from straight lines at constant speed; 0 is perfect.

    .. math:: S = \frac{E \int_0^1 |(z_1 - z_0) - \dot z_t|^2\,dt}{E |z_1 - z_0|^2}

    A sampler on paths with S = 0 is exact in one Euler step.

    Args:
        trajectory: Fine trajectories ``(T + 1, *batch, D)``.
        times: Their times ``(T + 1,)``.

    Example:
        >>> t = torch.linspace(0, 1, 11)
        >>> straightness(t[:, None, None].expand(-1, 4, 2), t) < 1e-10
        True
    """
    check_shape("times", times, (trajectory.shape[0],), "(T + 1,)")
    z, times = trajectory.detach().cpu().double(), times.cpu().double()
    dt = times.diff().reshape(-1, *(1,) * (z.ndim - 1))
    chord = z[-1] - z[0]
    deviation = ((chord - z.diff(dim=0) / dt).square() * dt).sum((0, -1))
    return float(deviation.mean() / chord.square().sum(-1).mean())


def path_ratio(trajectory: Tensor) -> float:
    """Mean length of the trajectories over the mean distance between their ends; 1 is straight.

    Args:
        trajectory: Fine trajectories ``(T + 1, *batch, D)``.

    Example:
        >>> path_ratio(torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 1.0]]]))  # 2 / sqrt(2)
        1.41421356...
    """
    z = trajectory.detach().cpu().double()
    length = z.diff(dim=0).norm(dim=-1).sum(0)
    return float(length.mean() / (z[-1] - z[0]).norm(dim=-1).mean())


def expert_usage(assignment: Tensor, num_experts: int) -> Tensor:
    """Share of positions assigned to each expert, ``(K,)``.

    Args:
        assignment: Integers of any shape.
        num_experts: K.

    Raises:
        TypeError: ``assignment`` does not hold integers.
        ValueError: ``assignment`` is empty, or names an expert outside ``0 .. K - 1``.

    Example:
        >>> expert_usage(torch.tensor([0, 0, 1, 3]), 4)
        tensor([0.5000, 0.2500, 0.0000, 0.2500])
    """
    num_experts = check_count("num_experts", num_experts)
    if assignment.is_floating_point() or assignment.dtype == torch.bool:
        raise TypeError(f"assignment must hold integers, got {assignment.dtype}")
    if assignment.numel() == 0:
        raise ValueError("assignment must hold at least one position")
    if not 0 <= int(assignment.min()) <= int(assignment.max()) < num_experts:
        raise ValueError(f"assignment must lie in 0 .. {num_experts - 1}")
    return torch.bincount(assignment.flatten().cpu(), minlength=num_experts) / assignment.numel()


def effective_experts(usage: Tensor) -> float:
    r"""Effective number of experts, :math:`e^{H(\mathrm{usage})}`: K if all are used equally, 1 if only one is used.

    Args:
        usage: Shares ``(K,)`` of :func:`expert_usage`.

    Example:
        >>> round(effective_experts(torch.tensor([0.5, 0.5, 0.0, 0.0])), 4)
        2.0
    """
    usage = usage.cpu().double()
    return math.exp(-float(torch.special.xlogy(usage, usage).sum()))


def dead_experts(usage: Tensor, threshold: float = 0.01) -> int:
    """Count experts whose usage is below ``threshold / K``.

    Args:
        usage: Shares ``(K,)`` of :func:`expert_usage`.
        threshold: Share of an even usage, 1 / K, below which an expert counts as dead.

    Example:
        >>> dead_experts(torch.tensor([0.6, 0.4, 0.0, 0.0]))
        2
    """
    return int((usage < threshold / len(usage)).sum())
