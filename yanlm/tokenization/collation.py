"""Examples, the ids of one row each, and the batch that several of them make."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

import torch
from torch import Tensor

Batch = dict[str, Tensor]
"""Tensors by name, as :func:`collate` makes them."""
Ids = list[int]


class Example(NamedTuple):
    """Ids of one row.

    ``slots`` are the positions of ``target`` to be generated. ``spans`` counts, for each masked span from left to
    right, the tokens it stands for.
    """

    source: Ids
    target: Ids
    slots: list[int]
    spans: list[int]


def collate(
    examples: Sequence[Example], *, pad: int, mask: int, form: str = "slots", with_lengths: bool = False
) -> Batch:
    """Pad examples on the right into a batch.

    Returns:
        ``source_ids``, ``source_mask`` (B, S), ``target_ids``, ``target_mask`` (B, L), ``slots``, ``slot_mask`` (B, M);
        masks are True where there is a token, or a slot. ``with_lengths`` adds the sources with one mask for each span,
        ``collapsed_ids``, ``collapsed_mask`` (B, C), and for the length head ``span_positions`` (B, P), where these
        masks are, and ``span_lengths`` (B, P), how many tokens each stands for (0 = padding).

    Raises:
        ValueError: There is no example.

    Example:
        >>> batch = collate([Example([7, 9], [7, 8], [1], [1]), Example([5], [5], [], [])], pad=0, mask=9)
        >>> batch["source_ids"].tolist(), batch["slots"].tolist(), batch["slot_mask"].tolist()
        ([[7, 9], [5, 0]], [[1], [0]], [[True], [False]])
    """
    if not examples:
        raise ValueError("a batch needs at least one row, got none")
    batch: Batch = {}
    batch["source_ids"], batch["source_mask"] = padded([e.source for e in examples], pad)
    batch["target_ids"], batch["target_mask"] = padded([e.target for e in examples], pad)
    batch["slots"], batch["slot_mask"] = padded([e.slots for e in examples], 0)
    if with_lengths:
        sources = [collapse(e, form) for e in examples]
        positions = [[i for i, id in enumerate(source) if id == mask] for source in sources]
        batch["collapsed_ids"], batch["collapsed_mask"] = padded(sources, pad)
        batch["span_positions"], _ = padded(positions, 0)
        batch["span_lengths"], _ = padded([e.spans for e in examples], 0)
    return batch


SLOT_COST = 3
"""Tokens of a source that a slot takes as long as: it goes through a flow in several steps."""


def call_cost(width: int, device: str = "cpu") -> int:
    """Fixed cost of a call, in tokens of a source, for a model of this width, measured on a CPU.

    On a GPU it would be far more tokens.
    """
    return max(2**15 // width, 16) if device == "cpu" else 4096


def together(examples: Sequence[Example], size: int, cost: int = 64) -> list[list[int]]:
    """Numbers of the examples of each batch, so that filling a batch takes no longer than its examples one by one.

    Examples of similar lengths share a batch. If the padding of one more would cost more than another call, a new batch
    starts.

    Args:
        examples: Examples to fill.
        size: Largest number of examples in a batch.
        cost: Fixed cost of a call, in tokens: :func:`call_cost`.

    Example:
        >>> texts = [Example([0] * length, [], [0], [1]) for length in (8, 500, 9, 510)]
        >>> together(texts, size=4)
        [[0, 2], [1, 3]]
    """
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i].source), len(examples[i].slots), i))
    batches: list[list[int]] = []
    longest = most = alone = 0
    for i in order:
        length, slots = len(examples[i].source), len(examples[i].slots)
        rows = len(batches[-1]) + 1 if batches else 0
        longest, most, alone = max(longest, length), max(most, slots), alone + length + SLOT_COST * slots + cost
        if not batches or rows > size or rows * (longest + SLOT_COST * most) + cost > alone:
            batches.append([])
            longest, most, alone = length, slots, length + SLOT_COST * slots + cost
        batches[-1].append(i)
    return batches


def collapse(example: Example, form: str = "slots") -> Ids:
    """Source with one mask for each span, from which the length head reads how many tokens each stands for.

    Example:
        >>> collapse(Example([7, 9, 9, 8], [7, 5, 6, 8], [1, 2], [2]))
        [7, 9, 8]
    """
    if form == "separate":
        return example.source
    first, dropped = 0, set()
    for span in example.spans:
        dropped.update(example.slots[first + 1 : first + span])
        first += span
    return [id for i, id in enumerate(example.source) if i not in dropped]


def split_spans(tokens: Sequence[int], spans: Sequence[int], pad: int) -> list[Ids]:
    """Tokens of all slots, span by span; padding ends a span.

    Example:
        >>> split_spans([5, 6, 0, 3, 4], spans=[3, 2], pad=0)
        [[5, 6], [3, 4]]
    """
    ends = list(accumulate(spans))
    return [until_padding(tokens[end - span : end], pad) for end, span in zip(ends, spans, strict=True)]


def until_padding(tokens: Sequence[int], pad: int) -> Ids:
    """Tokens before the first padding.

    Example:
        >>> until_padding([5, 0, 6], pad=0)
        [5]
    """
    return list(takewhile(lambda token: token != pad, tokens))


def padded(
    rows: Sequence[Sequence[int]], value: int, device: torch.device | str = "cpu", left: bool = False
) -> tuple[Tensor, Tensor]:
    """Tensor of rows of different lengths, at least one column wide, and where it holds them, both ``(B, L)``.

    Example:
        >>> padded([[1, 2], [3]], 0, left=True)[0].tolist()
        [[1, 2], [0, 3]]
    """
    width = max([1, *map(len, rows)])
    spare = [[value] * (width - len(row)) for row in rows]
    full = [[*more, *row] if left else [*row, *more] for row, more in zip(rows, spare, strict=True)]
    dtype = torch.bool if isinstance(value, bool) else torch.long
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long).unsqueeze(1)
    held = torch.arange(width) >= width - lengths if left else torch.arange(width) < lengths
    return torch.tensor(full, dtype=dtype, device=device).reshape(len(rows), width), held.to(device)
