"""Examples, the ids of one row each, and the batch that several of them make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Batch = dict[str, Tensor]
"""Tensors by name, as :func:`collate` makes them."""


class Example(NamedTuple):
    """Ids of one row.

    ``slots`` are the positions of ``target`` to be generated. ``spans`` counts, for each masked span from left to
    right, the tokens it stands for.
    """

    source: list[int]
    target: list[int]
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
    batch["source_ids"], batch["source_mask"] = _padded([e.source for e in examples], pad)
    batch["target_ids"], batch["target_mask"] = _padded([e.target for e in examples], pad)
    batch["slots"], batch["slot_mask"] = _padded([e.slots for e in examples], 0)
    if with_lengths:
        sources = [collapse(e, form) for e in examples]
        positions = [[i for i, id in enumerate(source) if id == mask] for source in sources]
        batch["collapsed_ids"], batch["collapsed_mask"] = _padded(sources, pad)
        batch["span_positions"], _ = _padded(positions, 0)
        batch["span_lengths"], _ = _padded([e.spans for e in examples], 0)
    return batch


def collapse(example: Example, form: str = "slots") -> list[int]:
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


def _padded(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Tensor of rows of different lengths, at least one column wide, and where it holds them."""
    lengths = torch.tensor([len(row) for row in rows])
    width = max(1, int(lengths.max()))
    padded = torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.long)
    return padded, torch.arange(width) < lengths[:, None]


Ids = list[int]
