"""Loss at masked slots, some of which show their tokens: masked diffusion, and a flow that reads what it wrote."""

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


def partly_masked(slot_mask: Tensor, seeds: Sequence[int], stream: int = TIME) -> tuple[Tensor, Tensor]:
    r"""Which slots stay masked, and what each of them weighs, both ``(B, M)`` on the CPU.

    A random number k from 1 to M of a row's M slots stays masked, all choices of k slots being equally likely, and each
    weighs M / k. This has the same mean as masking each slot with probability r, with r from U(0, 1), and weighting a
    masked slot by 1 / r:

    .. math:: \int_0^1 \sum_{m} \frac{P(m | r)}{r} \sum_i 1[m_i] \ell_i(m)\, dr
              = \frac{1}{M} \sum_{k=1}^M \frac{M}{k}\, E_{|m| = k} \sum_i 1[m_i] \ell_i(m)

    because :math:`\int r^{k-1} (1 - r)^{M-k} dr = 1 / (k \binom{M}{k})`. No draw is empty and no weight is above M.

    Example:
        >>> masked, weights = partly_masked(torch.tensor([[True, True, True, False]]), seeds=[1])
        >>> masked.any(1), masked[:, 3], bool((weights[masked] <= 3).all())
        (tensor([True]), tensor([False]), True)
    """
    slots = slot_mask.cpu()
    counts, drawn, left = slots.sum(1), [], []
    for source, count in zip(generators(seeds, stream), counts.tolist(), strict=True):
        left.append(min(1, count) + int(count * torch.rand((), generator=source, dtype=torch.float64)))
        drawn.append(torch.rand(count, generator=source))
    kept = torch.tensor(left).unsqueeze(1)
    numbers = torch.full(slots.shape, torch.inf).masked_scatter(slots, torch.cat([torch.empty(0), *drawn]))
    masked = numbers.argsort(1).argsort(1) < kept  # the k slots with the smallest numbers
    return masked, masked * (counts.unsqueeze(1) / kept.clamp_min(1))


def showing(batch: Batch, masked: Tensor) -> Batch:
    """The batch with the tokens of all slots outside ``masked`` ``(B, M)`` in its source, and these slots left out."""
    slots, slot_mask = batch["slots"], batch["slot_mask"]
    tokens = batch["target_ids"].gather(1, slots)
    source = shown(batch["source_ids"], slots, tokens, slot_mask & ~masked)
    return {**batch, "source_ids": source, "slot_mask": slot_mask & masked}


def revealed(model: YanNetwork, batch: Batch, share: float, seeds: Sequence[int]) -> Batch:
    """The batch with the tokens of some slots shown in a ``share`` of its rows, as masked diffusion would show them."""
    if model.config.form != "slots":
        raise ValueError("reveal needs a model of form='slots': in the other one a mask is a whole span")
    slot_mask = batch["slot_mask"]
    chosen = (row_uniform(generators(seeds, REVEALED)) < share).to(slot_mask.device)
    masked = partly_masked(slot_mask, seeds, LEFT)[0].to(slot_mask.device)
    return showing(batch, masked | ~chosen.unsqueeze(1))


def masked_loss(model: YanNetwork, batch: Batch, seeds: Sequence[int], totals: Tensor) -> tuple[Tensor, Parts]:
    r"""Cross-entropy at masked slots, and that of the length head if the batch has what it needs.

    ``mlm`` masks every slot. ``mdlm`` is masked diffusion (Sahoo et al. 2024; LLaDA, Nie et al. 2025): each slot stays
    masked with probability r from U(0, 1) while the others show their token, and a masked slot weighs 1 / r, so that a
    slot counts once on average:

    .. math:: E_r E_m \sum_i \frac{1[m_i]}{r} \, (-\log p(y_i | y_{\setminus m}, x))

    It is drawn as :func:`partly_masked` says.

    Both are means over slots.

    Args:
        model: A model of the method ``mlm`` or ``mdlm``.
        batch: ``source_ids``, ``source_mask``, ``target_ids`` (B, L), ``slots``, ``slot_mask`` (B, M).
        seeds: One integer for each row; what stays masked follows from it.
        totals: Numbers of target tokens and of slots ``(2,)``; the second is what the mean is taken over.

    Returns:
        The loss, a scalar, and its detached parts by name.
    """
    if batch["source_ids"].shape != batch["target_ids"].shape:
        raise ValueError(
            f"{model.config.method} needs a batch in the slots form, got source {tuple(batch['source_ids'].shape)}, "
            f"target {tuple(batch['target_ids'].shape)}"
        )
    slots, masked = batch["slots"], batch["slot_mask"]
    weights, source = masked.float(), batch["source_ids"]
    if model.config.method == "mdlm":
        masked, weights = (x.to(slots.device) for x in partly_masked(masked, seeds))
        source = showing(batch, masked)["source_ids"]
    states = gather_tokens(model.encode(source, batch["source_mask"]), slots)
    losses = decoded_loss(model, states, batch["target_ids"].gather(1, slots), masked)
    total = token_mean(weights[masked] * losses, totals[1])
    parts: Parts = {"ce": total}
    if "collapsed_ids" in batch:
        parts["length"] = length_loss(model, batch, seeds, totals)
        total = total + parts["length"]
    return total, {name: part.detach() for name, part in parts.items()}
