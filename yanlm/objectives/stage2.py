"""Loss of stage 2: the mixture likelihood of the latent flow and the cross-entropy of what it decodes to, Eq. (11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from moefm import gate_entropy, linear_path, load_balance
from moefm import scale_penalty as mean_square
from moefm.scope import group_mean
from yanlm.nn.slots import gather_tokens
from yanlm.objectives.length import length_loss
from yanlm.objectives.masked import revealed
from yanlm.objectives.routing import all_experts, one_expert
from yanlm.objectives.settings import Stage1, Stage2
from yanlm.objectives.stage1 import stage1_loss
from yanlm.objectives.token_loss import Parts, decoded_loss, token_mean
from yanlm.seeding import NOISE, TIME, generators, row_normal
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


def stage2_loss(
    model: YanNetwork,
    batch: Batch,
    settings: Stage2,
    autoencoder: Stage1,
    seeds: Sequence[int],
    totals: Tensor,
) -> tuple[Tensor, Parts]:
    """Flow loss and cross-entropy, Eq. (11), at one random time per row. Unfrozen parts keep their stage 1 loss.

    Args:
        model: A model with a flow.
        batch: ``source_ids``, ``source_mask`` (B, S), ``target_ids``, ``target_mask`` (B, L), ``slots``, ``slot_mask``
            (B, M), and for the length head what :func:`yanlm.tokenization.collation.collate` adds ``with_lengths``.
        settings: Variant and weights.
        autoencoder: Settings of the stage 1 loss.
        seeds: One integer for each row; noise z0, time t and experts follow from it.
        totals: Numbers of target tokens and of slots ``(2,)`` that means are taken over.

    Returns:
        The loss, a scalar, and its detached parts by name.
    """
    if settings.reveal:
        batch = revealed(model, batch, settings.reveal, seeds)
    slots, slot_mask = batch["slots"], batch["slot_mask"]
    source = model.encode(batch["source_ids"], batch["source_mask"])
    with torch.no_grad():
        z1 = gather_tokens(model.encode(batch["target_ids"], batch["target_mask"]), slots)
        z1 = z1.masked_fill(~slot_mask.unsqueeze(-1), 0)
        z0 = row_normal(generators(seeds, NOISE), slot_mask, z1.shape[2]).to(z1)
        t = torch.cat([settings.time((1,), generator=g) for g in generators(seeds, TIME)]).to(z1)
    cond = model.condition(source, batch["source_ids"], batch["source_mask"], slots, slot_mask)
    z_t, target = linear_path(z0, z1, t)
    labels = batch["target_ids"].gather(1, slots)
    share = model.counts(batch)[1] / totals[1].clamp_min(1)
    if settings.ce == "posterior":
        detached = model.condition(source.detach(), batch["source_ids"], batch["source_mask"], slots, slot_mask)
        routed = one_expert(model, settings, z0, (z_t, t), target, labels, cond, detached, seeds)
    else:
        routed = all_experts(model, settings, z0, (z_t, t), target, labels, cond, seeds)
    total, z1_hat = routed.total * share, routed.z1_hat
    parts: Parts = {name: part * share for name, part in routed.parts.items()}
    logits = group_mean(routed.logits, cond.scope, cond.mask)
    if settings.ce_weight:
        parts["ce"] = token_mean(decoded_loss(model, z1_hat, labels, slot_mask), totals[1])
        total = total + settings.ce_weight * parts["ce"]
    if settings.latent:
        parts["latent"] = mean_square(z1_hat - z1, slot_mask) * share
        total = total + settings.latent * parts["latent"]
    if settings.entropy:
        parts["entropy"] = gate_entropy(logits, slot_mask) * share
        total = total + settings.entropy * parts["entropy"]
    if settings.balance:
        parts["balance"] = load_balance(logits, slot_mask) * share
        total = total + settings.balance * parts["balance"]
    if settings.freeze != "all":
        extra, more = stage1_loss(model, batch, autoencoder, seeds, totals, source)
        total = total + extra
        parts |= {f"stage1_{name}": part for name, part in more.items()}
    if settings.length and "collapsed_ids" in batch:
        parts["length"] = length_loss(model, batch, seeds, totals)
        total = total + settings.length * parts["length"]
    return total, {name: part.detach() for name, part in parts.items()}
