"""Texts with mask slots as an autoregressive model reads and writes them: a prefix, then what fills its masks.

The prefix is the source with one mask for each span; the answer is the spans' tokens in order, a mask between two
spans, and the padding id as the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from yanlm.tokenization.collation import Example, Ids, collapse
from yanlm.tokenization.masking import span_lengths


class Prefix(NamedTuple):
    """Ids of a source with one mask for each span, and how many slots each span has."""

    ids: Ids
    spans: list[int]


def prefixes(
    source_ids: Tensor, slots: Tensor, source_mask: Tensor | None = None, slot_mask: Tensor | None = None
) -> list[Prefix]:
    """Prefix of every row; a span is a run of adjacent slots.

    Args:
        source_ids: ``(B, S)`` with the mask at every slot.
        slots: Ascending positions of the slots ``(B, M)``.
        source_mask: ``(B, S)``, True = a token.
        slot_mask: ``(B, M)``, True = a slot.

    Example:
        >>> import torch
        >>> prefixes(torch.tensor([[7, 9, 9, 8, 9]]), torch.tensor([[1, 2, 4]]))
        [Prefix(ids=[7, 9, 8, 9], spans=[2, 1])]
    """
    laid_out = []
    for ids, places in zip(rows(source_ids, source_mask), rows(slots, slot_mask), strict=True):
        spans = span_lengths(places)
        laid_out.append(Prefix(collapse(Example(ids, [], places, spans)), spans))
    return laid_out


def answer(tokens: Sequence[int], spans: Sequence[int], mask: int, end: int) -> Ids:
    """What is to be written: the tokens of every span, ``mask`` between two spans, ``end``; nothing without a span.

    Example:
        >>> answer([5, 6, 4], [2, 1], mask=9, end=0)
        [5, 6, 9, 4, 0]
    """
    written: Ids = []
    at = 0
    for number, span in enumerate(spans, start=1):
        written += [*tokens[at : at + span], mask if number < len(spans) else end]
        at += span
    return written


def rows(values: Tensor, mask: Tensor | None = None) -> list[list[int]]:
    """Rows as lists, without what lies outside ``mask``."""
    if mask is None:
        return values.tolist()
    return [
        [v for v, keep in zip(*row, strict=True) if keep] for row in zip(values.tolist(), mask.tolist(), strict=True)
    ]
