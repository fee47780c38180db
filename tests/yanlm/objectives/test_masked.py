"""Losses of the masked language model and of masked diffusion, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from toys import TEXT_ROWS, Batch

from yanlm.modeling.yan import YanModel
from yanlm.objectives.masked import partly_masked, revealed
from yanlm.objectives.settings import Stage1, Stage2
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
    loss = model(**without_lengths(batch), stage=1, seeds=[1, 2, 3]).loss
    assert loss.item() == pytest.approx(by_hand(model, batch, batch["slot_mask"], batch["slot_mask"].float()), rel=1e-5)


def test_the_loss_of_mdlm_weighs_what_stays_masked(make_model: Make, batch: Batch) -> None:
    model, seeds = make_model(method="mdlm"), [4, 5, 6]
    masked, weights = torch.zeros_like(batch["slot_mask"]), torch.zeros(batch["slots"].shape)
    for row, generator in enumerate(generators(seeds, TIME)):
        count = int(batch["slot_mask"][row].sum())
        rate = 1 - torch.rand((), generator=generator, dtype=torch.float64).item()
        drawn = torch.rand(count, generator=generator)
        stays = drawn < rate if (drawn < rate).any() else drawn == drawn.min()
        masked[row, :count] = stays
        weights[row, :count] = 1 / (rate + (1 - rate) ** count / count)
    assert masked.sum() < batch["slot_mask"].sum(), "some slots show their token"
    loss = model(**without_lengths(batch), stage=1, seeds=seeds).loss
    assert loss.item() == pytest.approx(by_hand(model, batch, masked, weights), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_slot_counts_once_on_average(count: int) -> None:
    draws = 20_000
    masked, weights = partly_masked(torch.ones(draws, count, dtype=torch.bool), range(draws))
    assert masked.any(1).all() and bool(weights[~masked].eq(0).all())
    error = 4 * weights.std(0) / draws**0.5
    assert ((weights.mean(0) - 1).abs() <= error + 1e-6).all()
    assert weights.max() <= count + 1e-4


class TestReveal:
    def test_some_slots_of_some_rows_show_their_token(self, make_model: Make, batch: Batch) -> None:
        many = {name: x.repeat_interleave(200, 0) for name, x in batch.items()}
        seeds = list(range(600))
        model = make_model()
        new = revealed(model, many, 0.5, seeds)
        left, held, slots = new["slot_mask"], many["slot_mask"], many["slots"]
        assert bool((left <= held).all()) and left.any(1).all()
        source = new["source_ids"].gather(1, slots)
        assert (source[left] == model.config.mask_token_id).all()
        open_ = held & ~left
        assert torch.equal(source[open_], many["target_ids"].gather(1, slots)[open_])
        untouched = (left == held).all(1).float().mean()
        assert 0.5 < untouched < 0.75  # half by the draw, and some where r is near 1
        assert torch.equal(revealed(model, many, 0.0, seeds)["slot_mask"], held)
        part = revealed(model, {name: x[300:310] for name, x in many.items()}, 0.5, seeds[300:310])
        assert torch.equal(part["source_ids"], new["source_ids"][300:310])

    @pytest.mark.parametrize("ce", ["rollout", "mixture", "posterior"])
    def test_the_loss_of_parts_adds_up_and_reaches_everything(self, make_model: Make, batch: Batch, ce: str) -> None:
        model = make_model(num_experts=4)
        model.stage1, model.stage2 = Stage1(mmd=0.0), Stage2(ce=ce, freeze="none", length=0.0, reveal=1.0)
        model.prepare_stage(2)
        seeds, totals = [4, 2, 8], model.counts(batch) / 2
        whole = model(**batch, stage=2, seeds=seeds).loss
        halves = [
            model(**{n: x[at] for n, x in batch.items()}, stage=2, seeds=seeds[at], totals=totals).loss.item() / 2
            for at in (slice(0, 2), slice(2, 3))
        ]
        assert sum(halves) == pytest.approx(whole.item(), rel=1e-4)
        whole.backward()
        untrained = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert all(name.startswith("length_head") for name in untrained)

    def test_mistakes_are_named(self, make_model: Make, batch: Batch) -> None:
        with pytest.raises(ValueError, match="reveal must be a share"):
            Stage2(reveal=1.5)
        with pytest.raises(ValueError, match="reveal needs a model of form='slots'"):
            revealed(make_model(form="separate", align=False), batch, 0.5, [1, 2, 3])
