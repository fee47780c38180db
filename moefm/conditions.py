"""Conditions of a field: vectors with a feature axis, or class labels without one. The two are never confused."""

from __future__ import annotations

import torch
from torch import Tensor


def check_vectors(cond: Tensor, batch: torch.Size, width: int) -> None:
    """Raise unless ``cond`` holds vectors ``(*batch, C)`` whose leading dimensions broadcast from the left.

    Integers without a feature axis are labels, whatever their number. A vector without a batch dimension is accepted
    only if the state has none either.

    Raises:
        ValueError: The remedy is in the message.
    """
    wanted = f"cond must have shape (*batch, {width})"
    given = f"got {cond.dtype} of shape {tuple(cond.shape)}"
    if not cond.is_floating_point() and cond.ndim <= len(batch):
        raise ValueError(
            f"{wanted}, {given}: class labels need a field with num_classes=, or one_hot(cond, {width}).float()"
        )
    if cond.ndim <= min(1, len(batch)):
        raise ValueError(
            f"{wanted}, {given} without an axis of rows or features: cond[:, None] is a number a row, "
            "cond[None] one vector for all rows"
        )
    if cond.ndim > len(batch) + 1 or cond.shape[-1] != width:
        raise ValueError(f"{wanted}, {given}")
    _check_broadcast(cond, cond.shape[:-1], batch)


def check_labels(cond: Tensor, batch: torch.Size, num_classes: int, look: bool = True) -> None:
    """Raise unless ``cond`` holds class labels ``(*batch,)``, integers or booleans that broadcast from the left.

    Args:
        cond: The labels.
        batch: Leading dimensions of the state.
        num_classes: Labels lie in ``0 .. num_classes - 1``.
        look: Look at the range, which on an accelerator waits for the device.

    Raises:
        TypeError: The dtype is not one of integers.
        ValueError: The shape does not fit, or a label is out of range.
    """
    wanted = f"cond must hold class labels 0 .. {num_classes - 1} of shape (*batch,)"
    given = f"got {cond.dtype} of shape {tuple(cond.shape)}"
    if cond.is_floating_point() or cond.is_complex():
        raise TypeError(f"{wanted}, {given}: cond.long() turns whole numbers into labels, cond.argmax(-1) one-hot rows")
    if cond.ndim > len(batch):
        raise ValueError(f"{wanted}, {given}: labels have no feature axis")
    _check_broadcast(cond, cond.shape, batch)
    if look and cond.numel():
        low, high = int(cond.min()), int(cond.max())
        if low < 0 or high >= num_classes:
            raise ValueError(f"{wanted}, got values from {low} to {high}")


def _check_broadcast(cond: Tensor, lead: torch.Size, batch: torch.Size) -> None:
    if any(a not in (1, b) for a, b in zip(lead, batch, strict=False)):
        raise ValueError(f"cond must broadcast over {tuple(batch)} from the left, got shape {tuple(cond.shape)}")


def expand_vectors(cond: Tensor, z: Tensor) -> Tensor:
    """Give every position of the state ``(*batch, D)`` its vector: ``(*batch, C)`` in the state's dtype."""
    lead = cond.shape[:-1]
    return cond.reshape(*lead, *(1,) * (z.ndim - cond.ndim), cond.shape[-1]).expand(*z.shape[:-1], -1).to(z)
