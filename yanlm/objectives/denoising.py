"""Loss of a flow whose denoiser is the encoder: tokens from plain masks, from masks with some tokens shown, from
noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, distributed

from moefm import CategoricalLoss, categorical_mixture_loss, drawn_categorical_loss, load_balance
from moefm.routing import draw_expert
from moefm.scope import group_mean
from yanlm.nn.denoiser import Features
from yanlm.nn.noise import first_time
from yanlm.nn.places import Places
from yanlm.objectives.length import length_loss
from yanlm.objectives.masked import revealed
from yanlm.objectives.settings import Denoising
from yanlm.objectives.token_loss import Parts
from yanlm.seeding import EXPERT, NOISE, TIME, generators, row_normal
from yanlm.tokenization.collation import Batch

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

PER_ROW = ("source_ids", "source_mask", "target_ids", "target_mask", "slots", "slot_mask", "noise", "coupled")


class Noisy(NamedTuple):
    """The result of the noisy rows."""

    total: Tensor  # a mean over their slots
    loss: CategoricalLoss
    logits: Tensor  # (B, M, K)
    t: Tensor  # (B,)


def denoising_loss(
    model: YanNetwork, batch: Batch, settings: Denoising, seeds: Sequence[int], totals: Tensor
) -> tuple[Tensor, Parts]:
    """Cross-entropy of the slots' tokens, as a mean over slots; in noisy rows under the mixture of experts.

    Args:
        model: A model whose flow's denoiser is its encoder.
        batch: ``source_ids``, ``source_mask``, ``target_ids`` (B, S), ``slots``, ``slot_mask`` (B, M); where noise and
            words belong together also ``noise`` (B, M, e) and ``coupled`` (B,), where they do; and for the length head
            what :func:`yanlm.tokenization.collation.collate` adds ``with_lengths``.
        settings: Kinds of rows, times, and how experts are trained.
        seeds: One integer for each row; its kind, noise, time and experts follow from it.
        totals: Numbers of target tokens and of slots ``(2,)``; the second is what the mean is taken over.

    Returns:
        The loss, a scalar, and its detached parts by name, the same names for every batch: ``plain`` and ``denoise``
        are, averaged over batches, the loss of a slot in rows of that kind (slots that show their token count as 0).
    """
    count = totals[1].clamp_min(1)
    drawn = torch.stack([torch.rand(3, generator=source) for source in generators(seeds, TIME)])
    shown = revealed(model, batch, settings.reveal, seeds) if settings.reveal else batch
    is_plain = drawn[:, 0] < settings.plain
    total = torch.zeros((), device=totals.device)
    kinds = {"plain": settings.plain, "denoise": 1 - settings.plain, "balance": settings.balance}
    parts: Parts = {name: total for name, weight in kinds.items() if weight}
    if is_plain.any():
        losses = _plain_losses(model, _rows(shown, is_plain)).sum() / count
        parts["plain"] = losses / settings.plain
        total = total + losses
    seen = drawn.new_full((2, len(seeds)), torch.nan).to(total.device)  # of every row its time and its loss
    if is_plain.all():
        total = total + _nothing(model)
    else:
        rows = _rows(shown, ~is_plain)
        own = [seed for seed, plain in zip(seeds, is_plain.tolist(), strict=True) if not plain]
        noisy = _noisy_loss(model, rows, settings, own, drawn[~is_plain])
        nll, slots = noisy.loss.nll.sum(1), rows["slot_mask"].sum(1)
        parts["denoise"] = nll.sum() / count / (1 - settings.plain)
        total = total + noisy.total * slots.sum() / count
        if settings.balance:
            parts["balance"] = load_balance(noisy.logits, rows["slot_mask"]) * slots.sum() / count
            total = total + settings.balance * parts["balance"]
        seen[:, ~is_plain] = torch.stack([noisy.t, nll / slots.clamp_min(1)]).to(seen)
    if settings.times == "information" and model.training and "noise" not in batch:
        model.denoiser.information.observe(*_of_all_processes(seen))
    if settings.length and "collapsed_ids" in batch:
        parts["length"] = length_loss(model, batch, seeds, totals)
        total = total + settings.length * parts["length"]
    return total, {name: part.detach() for name, part in parts.items()}


def _nothing(model: YanNetwork) -> Tensor:
    """A zero that depends on every parameter of the flow, since processes that share gradients wait for all of them."""
    return sum((parameter.sum() * 0 for parameter in model.denoiser.parameters()), torch.zeros((), device=model.device))


def _of_all_processes(columns: Tensor) -> Tensor:
    """Columns ``(2, B)`` of every process beside one another; the rows of a batch are divided evenly among them."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return columns
    every = [torch.empty_like(columns) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, columns)
    return torch.cat(every, 1)


def _rows(batch: Batch, where: Tensor) -> Batch:
    rows = where.nonzero().squeeze(1).to(batch["slots"].device)  # numbers, not booleans: a device need not count them
    return {name: batch[name][rows] for name in PER_ROW if name in batch}


def _places(model: YanNetwork, batch: Batch, streams: Sequence[torch.Generator]) -> Places:
    return model.places(batch["source_ids"], batch["source_mask"], batch["slots"], batch["slot_mask"], streams)


def _plain_losses(model: YanNetwork, batch: Batch) -> Tensor:
    """Cross-entropy ``(B, M)`` of tokens read off plain masks; zero outside the slots."""
    places = _places(model, batch, generators(range(len(batch["slots"]))))  # no expert: points do not matter
    labels = batch["target_ids"].gather(1, batch["slots"])
    losses = model.denoiser.losses(model.denoiser.plain(places), labels, places)
    return losses.masked_fill(~batch["slot_mask"], 0)


def _noisy_loss(model: YanNetwork, batch: Batch, settings: Denoising, seeds: Sequence[int], drawn: Tensor) -> Noisy:
    """The mixture's likelihood at a point of each row's path; ``drawn`` ``(B, 3)`` are uniform numbers."""
    flow, mask = model.denoiser, batch["slot_mask"]
    streams = generators(seeds, EXPERT)
    places = flow.with_codebook(_places(model, batch, streams))
    labels = batch["target_ids"].gather(1, batch["slots"])
    z1 = torch.nn.functional.embedding(labels, flow.token_vectors(places))
    noise = batch["noise"] if "noise" in batch else row_normal(generators(seeds, NOISE), mask, flow.dim)
    z0 = noise.to(z1)
    u = drawn[:, 2].to(z1)
    perturb: float | None = 0.0  # the data's words say nothing of the noise
    t = flow.information.quantile(u) if settings.times == "information" else u
    t = t.masked_fill(drawn[:, 1].to(z1) < settings.zero_share, 0.0)
    if "coupled" in batch:  # these rows learn what a sampler sees, and it begins as of a later time
        perturb = None
        t = t.masked_fill(batch["coupled"] & (t < first_time(model.config.perturb, flow.dim)), 0.0)
    at = t[:, None, None]
    features = flow.trunk(at * z1 + (1 - at) * z0, t, places, perturb)
    shares = None
    if settings.consistent:
        with torch.no_grad():
            start = flow.trunk(z0, 0.0, places, perturb)
            shares = _mixture(model, start, flow.gate_logits(start), labels, places).responsibilities
    return Noisy(*_likelihood(model, settings, features, labels, places, shares, streams), t)


def _mixture(
    model: YanNetwork,
    features: Features,
    logits: Tensor,
    labels: Tensor,
    places: Places,
    shares: Tensor | None = None,
) -> CategoricalLoss:
    """The likelihood of ``labels`` ``(B, M)`` under all experts, by gate logits ``(B, M, K)``."""
    losses = model.denoiser.losses(model.denoiser.all_features(features), labels, places)
    return categorical_mixture_loss(losses, logits, mask=places.mask, scope=places.scope, responsibilities=shares)


def _likelihood(
    model: YanNetwork,
    settings: Denoising,
    features: Features,
    labels: Tensor,
    places: Places,
    shares: Tensor | None,
    streams: Sequence[torch.Generator],
) -> tuple[Tensor, CategoricalLoss, Tensor]:
    """The first of :class:`Noisy`: through all experts, or through the one that is drawn from its posterior."""
    flow = model.denoiser
    by_all = settings.gradient == "all" or (settings.gradient == "auto" and flow.layer == model.config.encoder_layers)
    logits = flow.gate_logits(features)
    if by_all or flow.num_experts == 1:
        loss = _mixture(model, features, logits, labels, places, shares)
        return loss.total, loss, logits
    with torch.no_grad():
        loss = _mixture(model, features, logits, labels, places, shares)
    index = draw_expert(loss.responsibilities.clamp_min(1e-30).log(), streams, places.scope).to(labels.device)
    own = flow.losses(flow.one_feature(features, index), labels, places)
    total = drawn_categorical_loss(own, logits, loss.responsibilities, mask=places.mask, scope=places.scope)
    return total, loss, group_mean(logits, places.scope, places.mask)
