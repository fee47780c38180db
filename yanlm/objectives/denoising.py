"""Loss of a flow whose denoiser is the encoder: tokens from plain masks, from masks beside shown tokens, from noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from moefm import CategoricalLoss, categorical_mixture_loss, drawn_categorical_loss, load_balance
from moefm.routing import draw_expert
from moefm.scope import group_mean
from yanlm.nn.denoiser import Features, Places
from yanlm.objectives.length import length_loss
from yanlm.objectives.masked import revealed
from yanlm.objectives.settings import Denoising
from yanlm.objectives.token_loss import Parts
from yanlm.seeding import EXPERT, NOISE, TIME, generators, row_normal
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

PER_ROW = ("source_ids", "source_mask", "target_ids", "target_mask", "slots", "slot_mask")


class Noisy(NamedTuple):
    """What the noisy rows come to."""

    total: Tensor  # a mean over their slots
    loss: CategoricalLoss
    logits: Tensor  # (B, M, K)


def denoising_loss(
    model: YanNetwork, batch: Batch, settings: Denoising, seeds: Sequence[int], totals: Tensor
) -> tuple[Tensor, Parts]:
    """Cross-entropy of the slots' tokens, a mean over slots; of noisy rows under the mixture of experts.

    Args:
        model: A model whose flow's denoiser is its encoder.
        batch: ``source_ids``, ``source_mask``, ``target_ids`` (B, S), ``slots``, ``slot_mask`` (B, M), and for the
            length head what :func:`yanlm.tokenization.collation.collate` adds ``with_lengths``.
        settings: Kinds of rows, times, and how experts are trained.
        seeds: One integer a row; its kind, noise, time and experts follow from it.
        totals: Numbers of target tokens and of slots ``(2,)``; the second is what the mean is taken over.

    Returns:
        The loss, a scalar, and its detached parts by name.
    """
    count = totals[1].clamp_min(1)
    drawn = torch.stack([torch.rand(3, generator=source) for source in generators(seeds, TIME)])
    shown = revealed(model, batch, settings.reveal, seeds) if settings.reveal else batch
    is_plain = drawn[:, 0] < settings.plain
    total, parts = torch.zeros((), device=totals.device), Parts()
    if is_plain.any():
        rows = _rows(shown, is_plain)
        losses = _plain_losses(model, rows)
        parts["plain"] = losses.sum() / rows["slot_mask"].sum().clamp_min(1)
        total = total + losses.sum() / count
    if not is_plain.all():
        rows = _rows(shown, ~is_plain)
        own = [seed for seed, plain in zip(seeds, is_plain.tolist(), strict=True) if not plain]
        noisy = _noisy_loss(model, rows, settings, own, drawn[~is_plain])
        share = rows["slot_mask"].sum() / count
        parts["denoise"] = noisy.loss.nll.sum() / rows["slot_mask"].sum().clamp_min(1)
        total = total + noisy.total * share
        if settings.balance:
            parts["balance"] = load_balance(noisy.logits, rows["slot_mask"]) * share
            total = total + settings.balance * parts["balance"]
    if settings.length and "collapsed_ids" in batch:
        parts["length"] = length_loss(model, batch, seeds, totals)
        total = total + settings.length * parts["length"]
    return total, {name: part.detach() for name, part in parts.items()}


def _rows(batch: Batch, where: Tensor) -> Batch:
    rows = where.nonzero().squeeze(1).to(batch["slots"].device)  # numbers, not booleans: a device need not count them
    return {name: batch[name][rows] for name in PER_ROW}


def _places(model: YanNetwork, batch: Batch, streams: Sequence[torch.Generator]) -> Places:
    return model.places(batch["source_ids"], batch["source_mask"], batch["slots"], batch["slot_mask"], streams)


def _plain_losses(model: YanNetwork, batch: Batch) -> Tensor:
    """Cross-entropy ``(B, M)`` of tokens read off plain masks; zero outside the slots."""
    places = _places(model, batch, generators(range(len(batch["slots"]))))  # no expert: points are of no consequence
    labels = batch["target_ids"].gather(1, batch["slots"])
    losses = model.denoiser.losses(model.denoiser.plain(places), labels, places)
    return losses.masked_fill(~batch["slot_mask"], 0)


def _noisy_loss(model: YanNetwork, batch: Batch, settings: Denoising, seeds: Sequence[int], drawn: Tensor) -> Noisy:
    """The mixture's likelihood at a point of each row's path; ``drawn`` ``(B, 3)`` are uniform numbers."""
    flow, mask = model.denoiser, batch["slot_mask"]
    streams = generators(seeds, EXPERT)
    places = _places(model, batch, streams)
    labels = batch["target_ids"].gather(1, batch["slots"])
    z1 = torch.nn.functional.embedding(labels, flow.codebook(model.encoder))
    z0 = row_normal(generators(seeds, NOISE), mask.sum(1).tolist(), *z1.shape[1:]).to(z1)
    u = drawn[:, 2].to(z1)
    t = flow.information.quantile(u) if settings.times == "information" else u
    t = t.masked_fill(drawn[:, 1].to(z1) < settings.zero_share, 0.0)
    at = t[:, None, None]
    features = flow.trunk(at * z1 + (1 - at) * z0, t, places)
    shares = None
    if settings.consistent:
        with torch.no_grad():
            shares = _mixture(model, flow.trunk(z0, 0.0, places), labels, places)[1].responsibilities
    noisy = _likelihood(model, settings, features, labels, places, shares, streams)
    if settings.times == "information":
        flow.information.observe(t, noisy.loss.nll.sum(1) / mask.sum(1).clamp_min(1))
    return noisy


def _mixture(
    model: YanNetwork, features: Features, labels: Tensor, places: Places, shares: Tensor | None = None
) -> tuple[Tensor, CategoricalLoss]:
    """Gate logits ``(B, M, K)`` and the likelihood of ``labels`` ``(B, M)`` under all experts."""
    flow = model.denoiser
    losses, logits = flow.losses(flow.all_features(features), labels, places), flow.gate_logits(features)
    how: dict[str, Any] = {"mask": places.mask, "scope": places.scope, "responsibilities": shares}
    return logits, categorical_mixture_loss(losses, logits, **how)


def _likelihood(
    model: YanNetwork,
    settings: Denoising,
    features: Features,
    labels: Tensor,
    places: Places,
    shares: Tensor | None,
    streams: Sequence[torch.Generator],
) -> Noisy:
    """Through all experts, or through the one that is drawn from its posterior."""
    flow = model.denoiser
    by_all = settings.gradient == "all" or (settings.gradient == "auto" and flow.layer == model.config.encoder_layers)
    if by_all or flow.num_experts == 1:
        logits, loss = _mixture(model, features, labels, places, shares)
        return Noisy(loss.total, loss, logits)
    with torch.no_grad():
        _, loss = _mixture(model, features, labels, places, shares)
    index = draw_expert(loss.responsibilities.clamp_min(1e-30).log(), streams, places.scope).to(labels.device)
    own, logits = flow.losses(flow.one_feature(features, index), labels, places), flow.gate_logits(features)
    how: dict[str, Any] = {"mask": places.mask, "scope": places.scope}
    return Noisy(
        drawn_categorical_loss(own, logits, loss.responsibilities, **how),
        loss,
        group_mean(logits, places.scope, places.mask),
    )
