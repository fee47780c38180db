"""What a generation returns, and the checks that every kind of generation shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from moefm.checks import check_count
from yanlm.seeding import fresh_seeds

if TYPE_CHECKING:
    pass


class Generation(NamedTuple):
    """What a generation returns.

    Attributes:
        tokens: ``(B, samples, M)``; the padding id outside the slot mask.
        assignment: Expert of every slot ``(B, samples, M)``, or ``None`` under mean routing.
        nfe: Evaluations of the flow's trunk.
        scores: Log-probabilities of known answers ``(B, samples, C)``, where one of them was to be chosen.
    """

    tokens: Tensor
    assignment: Tensor | None
    nfe: int
    scores: Tensor | None = None


def check_generation(
    config: Any, source_ids: Tensor, slots: Tensor, samples: int, seeds: Sequence[int] | None
) -> list[int]:
    """Check what every kind of generation takes; return one seed a row."""
    check_count("samples", samples)
    if slots.ndim != 2 or slots.shape[0] != len(source_ids):
        raise ValueError(f"slots must have shape (B, M) with B = {len(source_ids)}, got {tuple(slots.shape)}")
    if slots.numel() and int(slots.max()) >= config.max_length:
        raise ValueError(f"slots must lie below max_length={config.max_length}, got {int(slots.max())}")
    seeds = fresh_seeds(len(slots)) if seeds is None else list(seeds)
    if len(seeds) != len(slots):
        raise ValueError(f"seeds must hold one integer for each of the {len(slots)} rows, got {len(seeds)}")
    return seeds
