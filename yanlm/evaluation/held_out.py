"""Held-out rows with fixed masks: the same for every model, seed and number of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from yanlm.seeding import row_seed
from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.pieces import decode_piece
from yanlm.tokenization.tokenizer import decode

Row = Mapping[str, Any]

HELD_OUT = 0x5EED
"""Seed of the masks of held-out rows."""

GENERATION = 1
"""Stream of the seeds that generation draws from; masks have another, 0."""


def mask_seed(place: int) -> int:
    """Seed of the masks of the held-out row at a place."""
    return row_seed(HELD_OUT, 0, place)


def held_out_examples(builder: Builder, rows: Sequence[Row]) -> list[Example]:
    """Examples of held-out rows, each masked as its place decides."""
    return [builder.example(row, mask_seed(place)) for place, row in enumerate(rows)]


def generation_seeds(seed: int, places: Sequence[int]) -> list[int]:
    """Seeds that the rows at these places are filled with: from ``seed`` and the place, whatever the batch."""
    return [row_seed(seed, GENERATION, place) for place in places]


def writes_all(builder: Builder, example: Example) -> bool:
    """Whether known words are written again too: texts of the separate form."""
    return builder.form == "separate" and len(example.target) > sum(example.spans)


def masked_positions(example: Example, builder: Builder) -> list[int]:
    """Positions of the target whose token the source does not show.

    In the slots form these are the slots. In the separate form every position is generated; hidden are those behind a
    mask of the source, or all where the target is an answer.
    """
    if builder.form == "slots" or (
        len(example.spans) == 1 == example.source.count(builder.mask) and len(example.target) == example.spans[0]
    ):
        return list(example.slots)
    hidden: list[int] = []
    at, spans = 0, iter(example.spans)
    for token in example.source:
        length = next(spans) if token == builder.mask else 1
        hidden += range(at, at + length) if token == builder.mask else ()
        at += length
    return hidden


def placed(example: Example, tokens: Sequence[int]) -> Ids:
    """The target of an example with these tokens in its slots.

    Example:
        >>> placed(Example([7, 9, 9], [7, 5, 6], [1, 2], [2]), [3, 4])
        [7, 3, 4]
    """
    ids = list(example.target)
    for slot, token in zip(example.slots, tokens, strict=False):
        ids[slot] = token
    return ids


def marked_text(builder: Builder, source: Sequence[int], marks: Iterable[str]) -> str:
    """Text of a source with a mark in place of each of its masks, and ``<mask>`` where marks run out."""
    parts: list[str] = []
    run: Ids = []
    left = iter(marks)

    def text_of(ids: Ids) -> str:
        return decode_piece(builder.tokenizer, ids) if parts else decode(builder.tokenizer, ids)

    for token in source:
        if token == builder.mask:
            parts += [text_of(run), next(left, "<mask>")]
            run = []
        else:
            run.append(token)
    return "".join([*parts, text_of(run)]).strip()
