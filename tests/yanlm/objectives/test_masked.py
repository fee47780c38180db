"""Losses of the masked language model and of masked diffusion, by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from toys import TEXT_ROWS, Batch

from yanlm.modeling.yan import YanModel
from yanlm.objectives.length import length_loss
from yanlm.objectives.masked import partly_masked
from yanlm.seeding import TIME, generators
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

Make = Callable[..., YanModel]


@pytest.fixture
def batch(tokenizer: Any) -> Batch:

    builder = Builder(tokenizer, max_length=48, masking=Masking(rate=(0.4, 0.4)))
    return builder.batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3], with_lengths=True)


def without_lengths(batch: Batch) -> Batch:
    return {name: x for name, x in batch.items() if name.startswith(("source", "target", "slot"))}


@torch.no_grad()
def by_hand(model: YanModel, batch: Batch, masked: torch.Tensor, weights: torch.Tensor) -> float:
    """Weighted cross-entropies, row by row and slot by slot, over the number of slots."""
    total = 0.0
    for row in range(len(batch["slots"])):
        source = batch["source_ids"][row].clone()
        for slot, real, hidden in zip(batch["slots"][row], batch["slot_mask"][row], masked[row], strict=True):
            if real and not hidden:
                source[slot] = batch["target_ids"][row, slot]
        keep = batch["source_mask"][row]
        logits = model.decoder(model.encode(source[keep][None]))[0]
        for slot, hidden, weight in zip(batch["slots"][row], masked[row], weights[row], strict=True):
            if hidden:
                total += float(weight * F.cross_entropy(logits[slot], batch["target_ids"][row, slot]))
    return total / float(batch["slot_mask"].sum())


def test_the_loss_of_mlm_is_the_cross_entropy_at_all_slots(make_model: Make, batch: Batch) -> None:
    model = make_model(method="mlm")
    out = model(**without_lengths(batch), stage=1, seeds=[1, 2, 3])
    loss = out.loss
    assert out.parts["ce"].item() == loss.item() and not out.parts["ce"].requires_grad
    assert loss.item() == pytest.approx(by_hand(model, batch, batch["slot_mask"], batch["slot_mask"].float()), rel=1e-5)


def test_the_length_head_adds_its_loss(make_model: Make, batch: Batch) -> None:
    model, seeds = make_model(method="mlm"), [4, 5, 8]
    parts = model(**batch, stage=1, seeds=seeds).parts
    totals = torch.stack([batch["target_mask"].sum(), batch["slot_mask"].sum()])
    assert parts["length"] > 0 and torch.equal(parts["length"], length_loss(model, batch, seeds, totals).detach())
    assert torch.equal(model(**batch, stage=1, seeds=seeds).loss, parts["ce"] + parts["length"])


def test_the_loss_of_mdlm_weighs_what_stays_masked(make_model: Make, batch: Batch) -> None:
    model, seeds = make_model(method="mdlm"), [4, 5, 6]
    masked, weights = torch.zeros_like(batch["slot_mask"]), torch.zeros(batch["slots"].shape)
    for row, generator in enumerate(generators(seeds, TIME)):
        count = int(batch["slot_mask"][row].sum())
        kept = 1 + int(count * torch.rand((), generator=generator, dtype=torch.float64))
        masked[row, torch.rand(count, generator=generator).argsort()[:kept]] = True
        weights[row, masked[row]] = count / kept
    assert masked.sum() < batch["slot_mask"].sum(), "some slots show their token"
    loss = model(**without_lengths(batch), stage=1, seeds=seeds).loss
    assert loss.item() == pytest.approx(by_hand(model, batch, masked, weights), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_slot_counts_once_on_average(count: int) -> None:
    draws = 5000
    masked, weights = partly_masked(torch.ones(draws, count, dtype=torch.bool), range(draws))
    assert masked.any(1).all() and bool(weights[~masked].eq(0).all())
    error = 4 * weights.std(0) / draws**0.5
    assert ((weights.mean(0) - 1).abs() <= error + 1e-6).all()
    assert weights.max() <= count + 1e-4


@pytest.mark.parametrize("count", [2, 3])
def test_the_mean_is_that_of_masked_diffusion(count: int) -> None:
    """Whatever a slot costs beside each set of shown ones: over r in quadrature, and over our draws."""
    sets = list(itertools.product([False, True], repeat=count))
    costs = {
        m: torch.rand(count, generator=torch.Generator().manual_seed(i), dtype=torch.float64) * (1 + sum(m))
        for i, m in enumerate(sets)
    }
    points, quadrature = (torch.tensor(x) for x in np.polynomial.legendre.leggauss(12))
    rates = (points + 1) / 2
    wanted = sum(
        float((quadrature / 2 * rates ** (sum(m) - 1) * (1 - rates) ** (count - sum(m))).sum())
        * float(costs[m][torch.tensor(m)].sum())
        for m in sets
        if any(m)
    )
    draws = 20_000
    masked, weights = partly_masked(torch.ones(draws, count, dtype=torch.bool), range(draws))
    losses = torch.stack([(w * costs[tuple(m)]).sum() for m, w in zip(masked.tolist(), weights, strict=True)])
    assert abs(float(losses.mean()) - wanted) < 4 * float(losses.std()) / draws**0.5
    assert 4 * float(losses.std()) / draws**0.5 < 0.03 * wanted, "4.7% too little would be seen"
