"""Batches of a training: rows of a tensor drawn with replacement, or fresh draws of a function."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from moefm.checks import check_mask
from moefm.fields import MixtureField
from moefm.finite import check_finite
from moefm.inputs import as_state, as_tensor, check_cond

Draw = Callable[[int, Generator], Tensor]
Batch = tuple[Tensor, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class Rows:
    """Rows of a tensor, with their conditions, masks and weights."""

    data: Tensor
    cond: Tensor | None
    mask: Tensor | None
    device: torch.device
    weight: Tensor | None = None

    def __call__(self, size: int, generator: Generator) -> Batch:
        """Draw ``size`` rows with replacement."""
        if self.weight is None:
            rows = torch.randint(len(self.data), (size,), generator=generator, device=generator.device)
        else:
            weight = self.weight.to(generator.device)
            rows = torch.multinomial(weight, size, replacement=True, generator=generator)
        c, m = (None if x is None else x[rows.to(x.device)].to(self.device) for x in (self.cond, self.mask))
        return self.data[rows.to(self.data.device)].to(self.device), c, m


@dataclass
class Draws:
    """Draws of a function."""

    draw: Draw
    field: MixtureField
    device: torch.device
    first: bool = True

    def __call__(self, size: int, generator: Generator) -> Batch:
        """Draw ``size`` fresh rows."""
        data = as_state("data", self.draw(size, generator), self.field).to(self.device)
        if self.first:
            warn_scale(data, None)
            self.first = False
        return data, None, None


def warn_scale(data: Tensor, mask: Tensor | None) -> None:
    """Warn whoever called ``fit`` if the data is far from the scale of the noise."""
    counted = (data if mask is None else data[mask]).detach()
    wide = torch.float64 if counted.device.type == "cpu" else torch.float32
    size = float(torch.linalg.vector_norm(counted, dtype=wide)) / math.sqrt(max(1, counted.numel()))
    if math.isfinite(size) and not 0.2 <= size <= 5:
        warnings.warn(
            f"data has a root mean square of {size:.3g}, far from the noise's, which is 1: scale it, for instance to "
            "(data - data.mean(0)) / data.std(0)",
            stacklevel=4,
        )


def open_data(
    data: Any, cond: Any, mask: Tensor | None, field: MixtureField, device: torch.device, weight: Any = None
) -> Callable[[int, Generator], Batch]:
    """Check the data given to ``fit``, and return an object that draws batches of it.

    Raises:
        TypeError: ``data`` is no tensor, array or function.
        ValueError: A shape does not fit, or the data is empty or not finite.
    """
    if callable(data):
        if cond is not None or mask is not None or weight is not None:
            raise ValueError("cond, mask and weight need data as a tensor: fresh draws have no rows to match them with")
        return Draws(data, field, device)
    if not isinstance(data, Tensor) and not hasattr(data, "__array__"):
        raise TypeError(f"data must be a tensor, an array or a function that draws one, got {type(data).__name__}")
    given = as_tensor("data", data)
    if given.ndim < 2 or len(given) == 0 or not given.dtype.is_floating_point:
        raise ValueError(
            f"data must be floating-point rows (N, ..., D), got {tuple(given.shape)} of {given.dtype}: single numbers "
            "become rows by [:, None], integers floating-point by .float()"
        )
    rows = as_state("data", given, field).detach()  # a graph behind it would be gone after the first step
    check_mask(mask, tuple(rows.shape[:-1]))
    if not bool((rows if mask is None else rows[mask]).isfinite().all()):
        raise ValueError("data must be finite: it holds NaN or infinity")
    if cond is not None:
        cond = as_tensor("cond", cond).detach()
        if cond.ndim == 0 or len(cond) != len(rows):
            raise ValueError(
                f"cond must have one row for each of the {len(rows)} rows of data, got {tuple(cond.shape)}"
            )
        if cond.is_floating_point() and mask is None:
            check_finite("cond", cond if cond.ndim > 1 else cond[:, None])
    check_cond(field, cond, rows.shape[:-1])
    warn_scale(rows, mask)
    return Rows(rows, cond, mask, device, None if weight is None else _checked_weight(weight, len(rows)))


def _checked_weight(weight: Any, count: int) -> Tensor:
    """Weights ``(N,)`` on the CPU, where batches are drawn."""
    weight = as_tensor("weight", weight).detach().cpu().double()
    if weight.shape != (count,) or not bool(weight.isfinite().all() & (weight >= 0).all() & (weight > 0).any()):
        raise ValueError(
            f"weight must be {count} finite numbers of at least 0, not all 0, one for each row of data, got shape "
            f"{tuple(weight.shape)}" + (f" from {weight.min():g} to {weight.max():g}" if weight.numel() else "")
        )
    return (weight / weight.max()).float()  # in proportion, so that neither tiny nor huge weights leave float32
