"""Contracts of the model, the same for both backbones and all its forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import generate, trimmed
from transformers import AutoConfig, AutoModel

from yanlm.modeling.yan import YanModel
from yanlm.objectives.settings import Stage1, Stage2

Make = Callable[..., YanModel]


def test_padding_never_changes_a_token(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    together = generate(model, batch, [5, 6, 7], steps=3)
    for row in range(3):
        one = trimmed(batch, row)
        alone = generate(model, one, [[5, 6, 7][row]], steps=3)
        count = one["slots"].shape[1]
        assert alone.tokens[0, 0].tolist() == together.tokens[row, 0, :count].tolist()
        assert alone.assignment[0, 0].tolist() == together.assignment[row, 0, :count].tolist()
        assert (together.tokens[row, 0, count:] == model.config.pad_token_id).all()


def test_what_the_padding_holds_is_never_read(model: YanModel, stage_batches: Any) -> None:
    for stage, batch in stage_batches.items():
        other = dict(batch)
        for name, mask in (("source_ids", "source_mask"), ("target_ids", "target_mask")):
            other[name] = batch[name].masked_fill(~batch[mask], 7)
        model.prepare_stage(stage)
        losses = [model(**part, stage=stage, seeds=[1, 2, 3]).loss for part in (batch, other)]
        torch.testing.assert_close(losses[0], losses[1], atol=0, rtol=0)


def test_a_row_of_padding_alone_gives_no_nan(model: YanModel, stage_batches: Any) -> None:
    for stage, batch in stage_batches.items():
        empty = {name: x.clone() for name, x in batch.items() if name.startswith(("source", "target", "slot"))}
        for name in ("source_mask", "target_mask", "slot_mask"):
            empty[name][2] = False
        model.prepare_stage(stage)
        model.zero_grad()
        loss = model(**empty, stage=stage, seeds=[1, 2, 3]).loss
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert (generate(model, empty, [1, 2, 3]).tokens[2] == model.config.pad_token_id).all()


@pytest.mark.parametrize("ce", ["onestep", "rollout", "unrolled"])
@pytest.mark.parametrize("objective", ["paper", "consistent"])
def test_gradients_reach_all_that_trains_and_nothing_else(
    model: YanModel, stage_batches: Any, objective: str, ce: str
) -> None:
    model.stage2 = Stage2(objective=objective, ce=ce, steps=2, latent=0.1, entropy=0.1, balance=0.1)
    for stage, batch in stage_batches.items():
        model.prepare_stage(stage)
        model.train().zero_grad()
        model(**batch, stage=stage, seeds=[4, 2, 3]).loss.backward()  # a multiple of 4 trains the length head
        for name, parameter in model.named_parameters():
            part = name.split(".")[0]
            trains = part in (("encoder", "decoder", "positions") if stage == 1 else ("flow", "length_head"))
            assert parameter.requires_grad == trains, name
            assert (parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)) == trains, name


def test_lengths_that_count_for_nothing_are_not_trained(make_model: Make) -> None:
    model = make_model()
    model.stage2 = Stage2(length=0.0)
    model.prepare_stage(2)
    assert not any(parameter.requires_grad for parameter in model.length_head.parameters())
    assert all(parameter.requires_grad for parameter in model.flow.parameters())


def test_frozen_parts_do_not_drop_out(make_model: Make) -> None:
    model = make_model(dropout=0.5)
    model.prepare_stage(2)
    model.train()
    assert not model.encoder.training and not model.decoder.training and model.flow.training
    model.prepare_stage(1)
    model.train()
    assert model.encoder.training and not model.flow.training


def test_saved_and_loaded_models_are_equal(model: YanModel, batch: dict[str, torch.Tensor], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    for loaded in (YanModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert isinstance(loaded, YanModel)
        assert loaded.state_dict().keys() == model.state_dict().keys()
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
        assert torch.equal(generate(loaded.eval(), batch, [1, 2, 3]).tokens, generate(model, batch, [1, 2, 3]).tokens)
    assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == model.config.to_diff_dict()
    tied = loaded.decoder.head.weight is loaded.encoder.embedding.weight
    assert tied == model.config.tie_word_embeddings


def test_seeds_decide_everything(model: YanModel, stage_batches: Any) -> None:
    for stage, batch in stage_batches.items():
        model.prepare_stage(stage)
        model.train()
        losses = [model(**batch, stage=stage, seeds=seeds).loss.item() for seeds in ([1, 2, 3], [1, 2, 3], [4, 5, 6])]
        assert losses[0] == losses[1] != losses[2]
    model.eval()
    state = torch.get_rng_state()
    first, again = (generate(model, batch, [1, 2, 3], samples=2) for _ in range(2))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(state, torch.get_rng_state()), "the global generator was touched"
    assert torch.equal(first.tokens[:, :1], generate(model, batch, [1, 2, 3]).tokens), "more samples changed the first"


@pytest.mark.parametrize("known", [1.0, 0.5])
def test_parts_of_a_batch_add_up(model: YanModel, stage_batches: Any, known: float) -> None:
    """Two processes with half a batch each, totals shared, give the loss and gradient of one with all of it."""
    model.stage1 = Stage1(mmd=0.0, known=known)
    for stage, batch in stage_batches.items():
        totals = model.counts(batch) / 2
        model.prepare_stage(stage)
        model.train().zero_grad()
        loss = model(**batch, stage=stage, seeds=[4, 2, 8]).loss
        loss.backward()
        wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        halves = []
        for rows in (slice(0, 2), slice(2, 3)):
            part = {name: x[rows] for name, x in batch.items()}
            half = model(**part, stage=stage, seeds=[4, 2, 8][rows], totals=totals).loss / 2
            half.backward()
            halves.append(half.item())
        assert sum(halves) == pytest.approx(loss.item(), rel=1e-5)
        for name, p in model.named_parameters():
            if p.grad is not None:
                torch.testing.assert_close(p.grad, wanted[name], atol=2e-6, rtol=2e-3)


def test_every_row_has_a_seed(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"seeds must hold one integer for each of the \d+ rows, got 1"):
        model(stage=1, seeds=[0], **batch)


def test_bad_stages_are_named(make_model: Make) -> None:
    with pytest.raises(ValueError, match="stage"):
        make_model().prepare_stage(3)
