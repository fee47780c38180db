"""Slots that show their tokens: what masked diffusion learns from, and a flow that is to read what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from yanlm.nn.slots import shown
from yanlm.seeding import LEFT, REVEALED, TIME, generators, row_uniform
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


def partly_masked(slot_mask: Tensor, seeds: Sequence[int], stream: int = TIME) -> tuple[Tensor, Tensor]:
    """Which slots stay masked, and what each of them weighs, both ``(B, M)`` on the CPU.

    A row draws r from U(0, 1], and each slot stays masked with probability r.

    Where the draw leaves none of a row's M slots masked, one of them is. So a slot is masked with probability
    :math:`r + (1 - r)^M / M`, and one over it is bounded by M, however small r is.

    Example:
        >>> masked, weights = partly_masked(torch.tensor([[True, True, True, False]]), seeds=[1])
        >>> masked.any(1), masked[:, 3], bool((weights[masked] <= 3).all())
        (tensor([True]), tensor([False]), True)
    """
    masked = torch.zeros(slot_mask.shape, dtype=torch.bool)
    weights = torch.zeros(slot_mask.shape)
    for row, (source, held) in enumerate(zip(generators(seeds, stream), slot_mask.cpu(), strict=True)):
        places = held.nonzero().squeeze(1)
        if not (count := len(places)):
            continue
        rate = 1 - float(torch.rand((), generator=source, dtype=torch.float64))
        drawn = torch.rand(count, generator=source)
        stays = drawn < rate
        if not stays.any():
            stays[drawn.argmin()] = True
        masked[row, places] = stays
        weights[row, places] = stays / (rate + (1 - rate) ** count / count)
    return masked, weights


def revealed(model: YanNetwork, batch: Batch, share: float, seeds: Sequence[int]) -> Batch:
    """The batch with the tokens of some slots shown in a ``share`` of its rows, and these slots left out."""
    if model.config.form != "slots":
        raise ValueError("reveal needs a model of form='slots': in the other one a mask is a whole span")
    held = batch["slot_mask"]
    chosen = row_uniform(generators(seeds, REVEALED)) < share
    masked = partly_masked(held, seeds, LEFT)[0].to(held.device)
    left = torch.where(chosen.to(held.device).unsqueeze(1), masked, held)
    tokens = batch["target_ids"].gather(1, batch["slots"])
    source = shown(batch["source_ids"], batch["slots"], tokens, held & ~left)
    return {**batch, "source_ids": source, "slot_mask": left}
