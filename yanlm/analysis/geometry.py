"""The shape of a cloud of latents: how many directions it fills, how far it is from a standard normal."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from moefm import mmd2, scale_penalty
from moefm.regularizers import BANDWIDTHS
from yanlm.seeding import generators

_POINTS = 2000  # that MMD is estimated from, as many as the paper takes in training
_OFTEN = 5  # occurrences from which a token counts for the variance between tokens
_REFERENCE = 4  # its own stream of random numbers, beside those of yanlm.analysis.latents


def geometry(z: Tensor, ids: Tensor, *, seed: int = 0) -> dict[str, Any]:
    r"""Shape of a cloud of latents ``(n, d)`` whose tokens are ``ids`` ``(n,)``.

    With the eigenvalues :math:`\lambda` of their covariance:

    - ``first_two``: share of the variance in the first two principal components (Fig. 3 of the paper).
    - ``participation``: :math:`(\sum \lambda)^2 / (d \sum \lambda^2)`, from 1/d (a line) to 1 (all directions alike).
    - ``isoscore``: of Rudman et al. (2022), the same from 0 to 1: :math:`(d \cdot participation - 1) / (d - 1)`.
    - ``cosine``: mean over all pairs of different latents (Ethayarajh, 2019); 0 if directions are uniform.
    - ``offset``: share of the mean square that is the mean: what all latents have in common.
    - ``mean_square``: :math:`E|z|^2 / d`, 1 for a standard normal.
    - ``mmd2``: squared MMD to a standard normal with the paper's bandwidths, and ``mmd2_wide`` with
      :func:`wide_bandwidths`, which see points that are as far apart as normal ones are in d dimensions.
    - ``token_variance``: share of the variance that lies between tokens, not between occurrences of one token, over
      the tokens that occur at least five times; None if there is none.

    Raises:
        ValueError: There are fewer than two latents.

    Example:
        >>> z = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
        >>> z[:, 8:] = 0
        >>> shape = geometry(z, torch.zeros(500, dtype=torch.long))
        >>> round(shape["participation"], 1), round(shape["mean_square"], 1)
        (0.5, 0.5)
    """
    n, d = z.shape
    if n < 2:
        raise ValueError(f"z must hold at least two latents, got {n}")
    points = z.double()
    spectrum, _ = principal_components(z)
    participation = float(spectrum.sum().square() / spectrum.square().sum().clamp_min(1e-30)) / d
    directions = torch.nn.functional.normalize(points, dim=-1)
    few = z[:: -(-n // _POINTS)]
    normal = torch.randn(few.shape, generator=generators([seed], _REFERENCE)[0])
    return {
        "first_two": float(spectrum[:2].sum()),
        "participation": participation,
        "isoscore": max(0.0, (d * participation - 1) / max(1, d - 1)),
        "cosine": float((directions.sum(0).square().sum() - directions.square().sum()) / (n * (n - 1))),
        "offset": float(points.mean(0).square().mean() / points.square().mean().clamp_min(1e-30)),
        "mean_square": float(scale_penalty(points)),
        "mmd2": float(mmd2(few, normal)),
        "mmd2_wide": float(mmd2(few, normal, wide_bandwidths(d))),
        "token_variance": token_variance(z, ids),
    }


def wide_bandwidths(dim: int) -> tuple[float, ...]:
    r"""The paper's bandwidths times :math:`\sqrt d`.

    Two standard normal points are about :math:`\sqrt{2d}` apart, 16 in 128 dimensions, where the paper's widest kernel
    (s = 5) has fallen to .006: times :math:`\sqrt d`, kernels keep their ratio to that distance in every dimension.

    Example:
        >>> wide_bandwidths(100)
        (2.0, 5.0, 10.0, 20.0, 50.0)
    """
    return tuple(s * math.sqrt(dim) for s in BANDWIDTHS)


def principal_components(z: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the variance ``(d,)``, largest first, and their directions ``(d, d)``, a column each, in float64.

    Of the two signs of a direction, the one whose largest coordinate is positive.
    """
    centred = z.double() - z.double().mean(0)
    values, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(z) - 1))
    values, axes = values.flip(0).clamp_min(0), axes.flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return values / values.sum().clamp_min(1e-30), axes * largest.sign()


def token_variance(z: Tensor, ids: Tensor) -> float | None:
    """Share of the variance that lies between the means of tokens; see :func:`geometry`.

    Example:
        >>> token_variance(torch.tensor([[0.0], [2.0]]).repeat(5, 1), torch.tensor([7, 9]).repeat(5))
        1.0
    """
    _, types, counts = ids.unique(return_inverse=True, return_counts=True)
    often = counts[types] >= _OFTEN
    if not often.any():
        return None
    _, types, counts = ids[often].unique(return_inverse=True, return_counts=True)
    points = z[often].double()
    points = points - points.mean(0)
    means = points.new_zeros(len(counts), z.shape[1]).index_add(0, types, points) / counts.unsqueeze(-1)
    between = (counts.unsqueeze(-1) * means.square()).sum()
    return float(between / points.square().sum().clamp_min(1e-30))
