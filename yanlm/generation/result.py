"""What a generation returns, and the checks that every kind of generation shares."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

from moefm.finite import NotFiniteError
from yanlm.generation.capabilities import capabilities
from yanlm.generation.choices import check_choices
from yanlm.generation.options import GenerationOptions
from yanlm.seeding import fresh_seeds

DAMAGED = (
    "the model computed numbers that are not finite, and what it would write means nothing: its weights are "
    "damaged or too large; train it anew, or take another copy of its folder"
)


class Generation(NamedTuple):
    """What a generation returns.

    Attributes:
        tokens: ``(B, samples, M)``; the padding id outside the slot mask.
        assignment: Expert of every slot ``(B, samples, M)``, or ``None`` under mean routing.
        nfe: Evaluations of the flow's trunk.
        scores: Log-probabilities of known answers ``(B, samples, C)``, if one of them was to be chosen.
    """

    tokens: Tensor
    assignment: Tensor | None
    nfe: int
    scores: Tensor | None = None


def check_finite(computed: Tensor, mask: Tensor | None = None) -> None:
    """Check that what tokens are chosen by is finite.

    Args:
        computed: Probabilities, logits or scores of the tokens that are to be written ``(*)``.
        mask: Where there are any ``(*)``.

    Raises:
        ValueError: A number is NaN or infinite, so the tokens would mean nothing.
    """
    bad = ~computed.isfinite() if mask is None else ~computed.isfinite() & mask
    if bool(bad.any()):
        raise ValueError(DAMAGED)


@contextlib.contextmanager
def finite_flow() -> Iterator[None]:
    """Numbers of the flow that are not finite end a generation, like those of its tokens."""
    try:
        yield
    except NotFiniteError as error:
        raise ValueError(DAMAGED) from error


def check_generation(
    config: Any,
    source_ids: Tensor,
    slots: Tensor,
    slot_mask: Tensor | None,
    options: GenerationOptions,
    choices: Tensor | None = None,
) -> list[int]:
    """Check that a model of this configuration takes the options, and that shapes fit; return one seed a row.

    Args:
        config: The model's.
        source_ids: ``(B, S)``.
        slots: ``(B, M)``.
        slot_mask: ``(B, M)``, True = a slot.
        options: How slots are to be filled.
        choices: Known answers ``(C, M)``, one of which is to fill a row's slots.

    Raises:
        ValueError: The model does not take an option, or shapes do not fit.
    """
    capabilities(config).check(options, choosing=choices is not None)
    if slots.ndim != 2 or slots.shape[0] != len(source_ids):
        raise ValueError(f"slots must have shape (B, M) with B = {len(source_ids)}, got {tuple(slots.shape)}")
    if slots.numel() and int(slots.max()) >= config.max_length:
        raise ValueError(f"slots must lie below max_length={config.max_length}, got {int(slots.max())}")
    if choices is not None:
        check_choices(choices, slots, slot_mask)
    seeds = fresh_seeds(len(slots)) if options.seeds is None else list(options.seeds)
    if len(seeds) != len(slots):
        raise ValueError(f"seeds must hold one integer for each of the {len(slots)} rows, got {len(seeds)}")
    return seeds
