"""Loss of the length head: how many tokens stand behind a single mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from yanlm.nn.slots import gather_tokens
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


def length_loss(model: YanNetwork, batch: Batch, seeds: Sequence[int], totals: Tensor) -> Tensor:
    """Cross-entropy of the number of tokens behind each single mask, from the encoder's state there (detached).

    It reads ``collapsed_ids``, ``collapsed_mask`` (B, C), ``span_positions`` and ``span_lengths`` (B, P) of the batch.
    Each span counts as many times as it has tokens. A quarter of the rows is enough for so small a head, and each costs
    another pass of the encoder.
    """
    rows = torch.tensor([row for row, seed in enumerate(seeds) if seed % 4 == 0], dtype=torch.long).to(totals.device)
    with torch.no_grad():
        states = model.encode(batch["collapsed_ids"][rows], batch["collapsed_mask"][rows])
    lengths, at = batch["span_lengths"][rows], batch["span_positions"][rows]
    spans = (lengths > 0).nonzero(as_tuple=True)
    logits = model.length_head(gather_tokens(states, at)[spans]).float()
    counted = lengths[spans].clamp_max(model.config.max_span)
    losses = torch.nn.functional.cross_entropy(logits, counted - 1, reduction="none")
    return 4 * (losses * counted).sum() / totals[1].clamp_min(1)
