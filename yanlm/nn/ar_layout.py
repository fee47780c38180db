"""Texts with mask slots as an autoregressive model reads and writes them: a prefix, then what fills its masks.

The prefix is the source with one mask for each span; the answer is the spans' tokens in order, a mask between two
spans, and the padding id as the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Prefix(NamedTuple):
    """Ids of a source with one mask for each span, and how many slots each span has."""

    ids: list[int]
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
        >>> prefixes(torch.tensor([[7, 9, 9, 8, 9]]), torch.tensor([[1, 2, 4]]))
        [Prefix(ids=[7, 9, 8, 9], spans=[2, 1])]
    """
    made = []
    for ids, places in zip(rows(source_ids, source_mask), rows(slots, slot_mask), strict=True):
        behind = set(places)
        later = {place for place in places if place - 1 in behind}
        spans: list[int] = []
        for place in places:
            if place in later:
                spans[-1] += 1
            else:
                spans.append(1)
        made.append(Prefix([id for i, id in enumerate(ids) if i not in later], spans))
    return made


def answer(tokens: Sequence[int], spans: Sequence[int], mask: int, end: int) -> list[int]:
    """What is to be written: the tokens of every span, ``mask`` between two spans, ``end``; nothing without a span.

    Example:
        >>> answer([5, 6, 4], [2, 1], mask=9, end=0)
        [5, 6, 9, 4, 0]
    """
    written: list[int] = []
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


def padded(
    values: Sequence[Sequence[int]], fill: int, device: torch.device, left: bool = False
) -> tuple[Tensor, Tensor]:
    """Tensor of rows of different lengths, at least one column wide, and where it holds them.

    Example:
        >>> padded([[1, 2], [3]], 0, torch.device("cpu"), left=True)[0].tolist()
        [[1, 2], [0, 3]]
    """
    width = max(1, *(len(row) for row in values)) if values else 1
    filled, held = [], []
    for row in values:
        spare = width - len(row)
        filled.append([fill] * spare + [*row] if left else [*row] + [fill] * spare)
        held.append([False] * spare + [True] * len(row) if left else [True] * len(row) + [False] * spare)
    return torch.tensor(filled, device=device), torch.tensor(held, device=device)
