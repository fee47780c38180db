"""Finite data: points that are shuffled once, split and brought to unit scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from moefm_toy.named_points import DataError, NamedPoints, Points
from moefm_toy.readers import read_named

DIGITS_DIMS = range(2, 17)
MIN_POINTS = 10


class Scaled(NamedTuple):
    """Training and held-out points, float64 `(n, D)` at unit scale, the map back, and the names of the columns."""

    train: Points
    test: Points
    inverse: Callable[[Tensor], Tensor]
    columns: tuple[str, ...]


def digits(dim: int, seed: int) -> Scaled:
    """scikit-learn's images of digits by their first `dim` principal components, 2-16.

    Raises:
        ValueError: `dim` is out of range.
    """
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    if isinstance(dim, bool) or not isinstance(dim, int) or dim not in DIGITS_DIMS:
        raise ValueError(f"dim must be an integer from {DIGITS_DIMS[0]} to {DIGITS_DIMS[-1]}, got {dim!r}")
    train, test = _split(load_digits().data, seed)
    pca = PCA(dim, svd_solver="full").fit(train)
    scale = pca.transform(train).std(axis=0).mean()  # one factor for all: shape and order of the PCA remain
    center, basis = torch.from_numpy(pca.mean_), torch.from_numpy(scale * pca.components_)
    return Scaled(
        pca.transform(train) / scale,
        pca.transform(test) / scale,
        lambda points: points.cpu().double() @ basis + center,
        tuple(f"component {k + 1}" for k in range(dim)),
    )


def iris(seed: int) -> Scaled:
    """Four measurements of 150 iris flowers."""
    from sklearn.datasets import load_iris

    flowers = load_iris()
    return standardised(NamedPoints(flowers.data, tuple(flowers.feature_names)), seed)


def usable_points(path: Path) -> NamedPoints:
    """The points of a file, checked: there are enough of them, and they can be standardised.

    Raises:
        DataError: They are too few or too large; see also :func:`moefm_toy.readers.read_points`.
    """
    points, names, _ = read_named(path)
    distinct = len(np.unique(points, axis=0))
    if distinct < MIN_POINTS:
        held = f"{len(points)} point{'s' * (len(points) != 1)}, {distinct} distinct"
        raise DataError(f"{path}: holds {held}; at least {MIN_POINTS} distinct points are needed")
    with np.errstate(over="ignore", invalid="ignore"):  # squares of such numbers leave float64
        spread = points.std(axis=0)
    usable = np.isfinite(spread) & ((spread > 0) | (points.min(axis=0) == points.max(axis=0)))
    if not usable.all():
        column = int(np.argmin(usable)) + 1
        raise DataError(f"{path}: column {column} is too large or too small to standardise; rescale it")
    return NamedPoints(points, names)


def standardised(named: NamedPoints, seed: int) -> Scaled:
    """Every column less its mean and divided by its standard deviation in the training part; constant ones by 1.

    Columns without a name are called by their number.

    Example:
        >>> scaled = standardised(NamedPoints(np.arange(20.0)[:, None]), seed=0)
        >>> len(scaled.train), len(scaled.test), scaled.train.std().round(6)
        (16, 4, np.float64(1.0))
    """
    train, test = _split(named.points, seed)
    constant = train.min(axis=0) == train.max(axis=0)  # rounding may give such a column a std above 0
    center = np.where(constant, train[0], train.mean(axis=0))
    scale = np.where(constant, 1.0, train.std(axis=0))
    shift, factor = torch.from_numpy(center), torch.from_numpy(scale)
    return Scaled(
        (train - center) / scale,
        (test - center) / scale,
        lambda points: points.cpu().double() * factor + shift,
        named.names or tuple(f"column {k + 1}" for k in range(len(center))),
    )


def _split(points: Points, seed: int) -> tuple[Points, Points]:
    """Shuffled, 80% to train on and 20% held out."""
    order = np.random.default_rng(seed).permutation(len(points))
    held_out = len(points) // 5
    return points[order[held_out:]], points[order[:held_out]]
