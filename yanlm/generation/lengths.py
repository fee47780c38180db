"""How many tokens stand behind a single mask, as the length head predicts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
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
            [one for one, token in zip(row, source, strict=False) if token == builder.mask]
            for row, source in zip(best, part, strict=True)
        ]
    return lengths
