"""Optimal transport from the noise to all rows of a table at once, rather than within a batch."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from moefm.checks import check_count, check_shape
from moefm.finite import check_finite
from moefm.generators import fresh

RATE, LEAST_RATE, AVERAGED = 0.15, 0.003, 0.25
FAR = 6.0
"""From this distance on a row is an outlier, unless there are many columns."""


class SemiDiscrete:
    r"""A coupling that brings each noise to the row that optimal transport from :math:`N(0, I)` to the rows assigns.

    .. math:: \tau(z_0) = \arg\max_i\; z_0 \cdot x_i + h_i

    with one number :math:`h_i` for each row, such that the noise assigned to row i has the weight of the row as its
    probability. (Brenier; the semi-discrete transport of Cuturi and Peyré, 2018.) These numbers are found once, by
    gradient ascent on the dual, in about a second for a thousand rows. A batch then costs one matrix product, less than
    transport within the batch, and small batches cause no error. The noise determines its row, so paths can be
    straight.

    Only the size of a batch of data is used. The distribution of the rows is kept, but not their conditions: to pair
    within labels use :func:`moefm.ot_within`.

    Args:
        rows: All rows ``(N, D)``, of unit variance or so.
        weight: Weight of every row ``(N,)``; ``None`` for equal weights.
        iterations: Steps of the ascent.
        batch_size: Draws of noise in a step.
        generator: Source of the noise.

    Raises:
        ValueError: The shapes do not fit, a row is not finite, or the weights are none.

    Example:
        >>> coupling = SemiDiscrete(torch.tensor([[-1.0], [1.0]]), generator=torch.Generator().manual_seed(0))
        >>> coupling(torch.tensor([[0.9], [-0.2]]), torch.zeros(2, 1))[1].flatten()
        tensor([ 1., -1.])
    """

    def __init__(
        self,
        rows: Tensor,
        weight: Tensor | None = None,
        *,
        iterations: int = 600,
        batch_size: int = 1024,
        generator: Generator | None = None,
    ) -> None:
        if rows.ndim != 2 or 0 in rows.shape:
            raise ValueError(f"rows must be (N, D) with N >= 1, got shape {tuple(rows.shape)}")
        check_finite("rows", rows)
        count = len(rows)
        if weight is not None:
            check_shape("weight", weight, (count,), "(N,)")
            check_finite("weight", weight.unsqueeze(1))
            if bool((weight < 0).any()) or not bool(weight.any()):
                raise ValueError("weight must be at least 0 and not 0 throughout")
        share = (torch.ones(count) if weight is None else weight.detach().cpu()).float()
        self.rows = rows.detach().cpu().float()
        iterations, batch_size = check_count("iterations", iterations), check_count("batch_size", batch_size)
        self.heights = _heights(self.rows, share / share.sum(), iterations, batch_size, fresh(generator))

    def __call__(self, z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor]:
        """The noise and, for each, its row; ``z1`` must have the shape of ``z0``."""
        check_shape("z1", z1, tuple(z0.shape), "that of z0")
        check_shape("z0", z0, (len(z0), self.rows.shape[1]), "(B, D) as the rows have it")
        if self.rows.device != z0.device:
            self.rows, self.heights = self.rows.to(z0.device), self.heights.to(z0.device)
        return z0, self.rows[_chosen(z0.float(), self.rows, self.heights)].to(z1)


def _chosen(z0: Tensor, rows: Tensor, heights: Tensor) -> Tensor:
    """Row of each noise, ``(B,)``."""
    return torch.addmm(heights, z0, rows.T).argmax(1)


def _start(rows: Tensor) -> Tensor:
    """Between the nearest row (-|x|^2 / 2) and the largest product (0). The products of an outlier grow like |x|."""
    size = rows.norm(dim=1)
    near = size.clamp(max=max(FAR, math.sqrt(rows.shape[1])))
    return -near.square() / 4 - FAR / 2 * (size - near)


def _heights(rows: Tensor, share: Tensor, iterations: int, batch_size: int, generator: Generator) -> Tensor:
    """Raise rows that get less noise than their share and lower the others, as Adam does; average the last steps.

    The second moment is one number for all rows, so that the steps keep the direction of the gradient.
    """
    heights = _start(rows)
    momentum, scale, mean = torch.zeros_like(heights), 0.0, torch.zeros_like(heights)
    averaged = max(1, round(AVERAGED * iterations))
    for step in range(iterations):
        z0 = torch.randn(batch_size, rows.shape[1], generator=generator, device=generator.device).to(rows)
        got = torch.bincount(_chosen(z0, rows, heights), minlength=len(rows)).to(rows) / batch_size
        gradient = (share - got) * len(rows)
        momentum = 0.9 * momentum + 0.1 * gradient
        scale = 0.98 * scale + 0.02 * float(gradient.square().mean())
        size = math.sqrt(scale / (1 - 0.98 ** (step + 1))) or 1.0
        rate = RATE * 0.5 * (1 + math.cos(math.pi * step / iterations)) + LEAST_RATE
        heights = heights + rate * momentum / size
        if step >= iterations - averaged:
            mean += heights / averaged
    return mean
