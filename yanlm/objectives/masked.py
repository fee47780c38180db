"""Slots that show their tokens: what masked diffusion learns from, and a flow that is to read what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from yanlm.nn.slots import gather_tokens, shown
from yanlm.objectives.length import length_loss
from yanlm.objectives.token_loss import Parts, decoded_loss, token_mean
from yanlm.seeding import LEFT, REVEALED, TIME, generators, row_uniform
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

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


def masked_loss(model: YanNetwork, batch: Batch, seeds: Sequence[int], totals: Tensor) -> tuple[Tensor, Parts]:
    r"""Cross-entropy at masked slots, and the length head's where the batch has what it needs.

    ``mlm`` masks every slot. ``mdlm`` is masked diffusion (Sahoo et al. 2024; LLaDA, Nie et al. 2025): the row draws r
    from U(0, 1], each slot stays masked with probability r while the others show their token, and a masked slot
    weighs one over the probability of being masked, so that a slot counts once on average:

    .. math:: E_r E_m \sum_i \frac{1[m_i]}{P(m_i | r)} \, (-\log p(y_i | y_{\setminus m}, x))

    Both are means over slots.
    """
    source, slots, slot_mask = batch["source_ids"], batch["slots"], batch["slot_mask"]
    if source.shape != batch["target_ids"].shape:
        raise ValueError(
            f"{model.config.method} needs a batch in the slots form, got source {tuple(source.shape)}, "
            f"target {tuple(batch['target_ids'].shape)}"
        )
    labels = batch["target_ids"].gather(1, slots)
    masked, weights = slot_mask, slot_mask.float()
    if model.config.method == "mdlm":
        masked, weights = (x.to(slots.device) for x in partly_masked(slot_mask, seeds))
        source = shown(source, slots, labels, slot_mask & ~masked)
    states = gather_tokens(model.encode(source, batch["source_mask"]), slots)
    losses = decoded_loss(model, states, labels, masked)
    total = token_mean(weights[masked] * losses, totals[1])
    parts: Parts = {"ce": total}
    if "collapsed_ids" in batch:
        parts["length"] = length_loss(model, batch, seeds, totals)
        total = total + parts["length"]
    return total, {name: part.detach() for name, part in parts.items()}
