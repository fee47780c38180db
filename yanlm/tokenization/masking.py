"""Which tokens of a text are masked: spans of one to three (appendix B.2), a suffix, or none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from moefm.checks import check_count, check_share


@dataclass(frozen=True)
class Masking:
    """How a text is masked. Each text is drawn separately.

    Args:
        rate: Smallest and largest share of masked tokens, drawn uniformly (5 to 10% in the paper).
        spans: Lengths of masked spans, drawn uniformly (1, 2 or 3 tokens in the paper).
        tail: Share of texts whose end is masked instead, so that the model learns to continue.
        tail_max: Longest end that is masked, in tokens.
        clean: Share of rows without any mask, for the autoencoder.
        context: Share of rows with an answer whose context is masked too. This gives many more tokens to learn from.
        context_rate: Share of masked tokens in the context; low, because the answer may need them.
        drop: Largest share of a context's tokens that are left out, drawn uniformly from 0: word dropout (Iyyer et al.,
            2015), against memorizing long texts with few labels. Nothing is learned in their place.

    Raises:
        ValueError: A share is outside [0, 1], ``tail`` and ``clean`` exceed 1 together, or there is no span length.

    Example:
        >>> Masking(rate=(0.15, 0.15))
        Masking(rate=(0.15, 0.15), spans=(1, 2, 3), tail=0.0, tail_max=32, clean=0.0, context=0.0,
                context_rate=(0.05, 0.1), drop=0.0)
    """

    rate: tuple[float, float] = (0.05, 0.10)
    spans: tuple[int, ...] = (1, 2, 3)
    tail: float = 0.0
    tail_max: int = 32
    clean: float = 0.0
    context: float = 0.0
    context_rate: tuple[float, float] = (0.05, 0.10)
    drop: float = 0.0

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        _check_rate(self.context_rate)
        _check_spans(self.spans)
        check_count("tail_max", self.tail_max)
        check_share("tail", self.tail)
        check_share("clean", self.clean)
        check_share("context", self.context)
        check_share("drop", self.drop)
        if self.tail + self.clean > 1:
            raise ValueError(f"tail and clean must not exceed 1 together, got {self.tail} and {self.clean}")


def mask_spans(
    length: int, rng: random.Random, *, rate: tuple[float, float] = (0.05, 0.10), spans: tuple[int, ...] = (1, 2, 3)
) -> list[int]:
    """Draw the positions to mask among ``length``: whole spans, as close to the drawn share as they come.

    At least one position is masked and, from two on, one is not. Two spans have a token between them as long as there
    are enough.

    Raises:
        ValueError: ``length`` is negative, ``rate`` no range within [0, 1], or ``spans`` not positive integers.

    Example:
        >>> mask_spans(30, random.Random(0))
        [8, 9, 18]
    """
    check_count("length", length, 0)
    _check_rate(rate)
    _check_spans(spans)
    if length < 2:
        return list(range(length))
    wanted = min(max(1, round(rng.uniform(*rate) * length)), length - 1)
    drawn = [min(rng.choice(spans), length - 1)]
    total = drawn[0]
    while total < wanted:
        span = rng.choice(spans)
        if span > 2 * (wanted - total) or total + span >= length:
            break  # without it the total is closer to what is wanted, or no token would be left
        drawn.append(span)
        total += span
    return _place(drawn, length, rng)


def mask_tail(length: int, rng: random.Random, *, longest: int) -> list[int]:
    """Draw an end of 1 to ``longest`` tokens to mask; of two tokens or more, one is never masked.

    Raises:
        ValueError: ``length`` is negative or ``longest`` below 1.

    Example:
        >>> mask_tail(30, random.Random(0), longest=3)
        [28, 29]
    """
    check_count("length", length, 0)
    check_count("longest", longest)
    if length < 2:
        return list(range(length))
    return list(range(length - rng.randint(1, min(longest, length - 1)), length))


def drop_tokens(ids: Sequence[int], rng: random.Random, most: float) -> list[int]:
    """Leave out a share of the tokens that is drawn uniformly from 0 to ``most``; one is always left.

    Example:
        >>> drop_tokens(range(9), random.Random(0), most=0.5)
        [0, 3, 5, 7, 8]
    """
    if not most or not ids:
        return list(ids)
    share = rng.uniform(0, most)
    return [id for id in ids if rng.random() >= share] or [rng.choice(ids)]


def span_lengths(slots: Sequence[int]) -> list[int]:
    """Lengths of the runs of adjacent slots.

    Example:
        >>> span_lengths([1, 2, 5])
        [2, 1]
    """
    starts = [i for i, slot in enumerate(slots) if i == 0 or slots[i - 1] != slot - 1]
    return [end - start for start, end in pairwise([*starts, len(slots)])]


def _place(drawn: list[int], length: int, rng: random.Random) -> list[int]:
    """Spread spans over ``length``: each goes into a gap between unmasked tokens, one to a gap while gaps last."""
    gaps = length - sum(drawn) + 1
    chosen = rng.sample(range(gaps), min(len(drawn), gaps))
    chosen += rng.choices(range(gaps), k=len(drawn) - len(chosen))
    positions: list[int] = []
    for gap, span in zip(sorted(chosen), drawn, strict=True):
        start = gap + len(positions)
        positions += range(start, start + span)
    return positions


def _check_rate(rate: tuple[float, float]) -> None:
    if not isinstance(rate, tuple | list) or len(rate) != 2:
        raise ValueError(f"rate must be the least and the greatest share, such as (0.05, 0.10), got {rate!r}")
    for share in rate:
        check_share("rate", share)
    if rate[0] > rate[1]:
        raise ValueError(f"rate must go from the least to the greatest share, got {rate!r}")


def _check_spans(spans: tuple[int, ...]) -> None:
    if not isinstance(spans, tuple | list) or not spans:
        raise ValueError(f"spans must list the lengths of masked spans, such as (1, 2, 3), got {spans!r}")
    for span in spans:
        check_count("spans", span)
