"""How many tokens stand behind a single mask: predicted by the length head, or found by a model as it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from yanlm.generation.autoregressive import write_free
from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import span_lengths

if TYPE_CHECKING:
    from yanlm.nn.ar_network import ARNetwork
    from yanlm.nn.network import YanNetwork


@torch.no_grad()
def predicted_lengths(
    model: YanNetwork, builder: Builder, sources: Sequence[Ids], batch_size: int = 50
) -> list[list[int]]:
    """Most probable number of tokens behind each single mask, from the encoder's state there."""
    lengths: list[list[int]] = []
    for start in range(0, len(sources), batch_size):
        part = sources[start : start + batch_size]
        batch = builder.collate([Example(source, source, [], []) for source in part])
        ids, mask = batch["source_ids"].to(model.device), batch["source_mask"].to(model.device)
        best = (model.length_head(model.encode(ids, mask)).argmax(-1) + 1).tolist()
        lengths += [
            [length for length, token in zip(row, source, strict=False) if token == builder.mask]
            for row, source in zip(best, part, strict=True)
        ]
    return lengths


def written_lengths(model: ARNetwork, examples: Sequence[Example]) -> list[list[int]]:
    """Number of tokens that a model writes for each single mask of the examples, greedily.

    Masks without a word between them share what it writes for all of them.
    """
    lengths = []
    for example in examples:
        ids = torch.tensor([example.source], device=model.device)
        [spans] = write_free(model, ids, slots=torch.tensor([example.slots], device=ids.device))
        lengths.append(shared_lengths(example.slots, [len(span) for span in spans]))
    return lengths


def shared_lengths(masks: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Tokens behind each mask where every run of adjacent ones has a length: the first get one more if need be.

    Example:
        >>> shared_lengths([1, 2, 5], [5, 4])
        [3, 2, 4]
    """
    shares = []
    for count, length in zip(span_lengths(masks), lengths, strict=True):
        share, more = divmod(max(length, count), count)
        shares += [share + (i < more) for i in range(count)]
    return shares
