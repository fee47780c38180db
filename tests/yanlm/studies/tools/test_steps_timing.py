"""Optimizer steps that are timed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from yanlm.config import YanConfig
from yanlm.modeling.build import baseline_config, fresh_model
from yanlm.studies.tools.models import Named
from yanlm.studies.tools.steps_timing import TrainStep, train_timed, training_batch
from yanlm.studies.tools.timing import Rules

SIZES = {"vocab_size": 90, "pad_token_id": 88, "mask_token_id": 89, "d_model": 16, "num_heads": 2, "max_length": 24}
RULES = Rules(rate=0.3, repeats=2, clock="cpu")


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("form", ["slots", "separate"])
def test_batches_of_a_stage(form: str, stage: int) -> None:
    config = YanConfig(**SIZES, form=form, align=False)
    batch = training_batch(config, stage, 20, 3, RULES)
    hidden = batch["source_ids"] == config.mask_token_id
    assert batch["target_ids"].shape == (3, 20) and bool(batch["source_mask"].all()) and bool(hidden.any())
    assert ("span_lengths" in batch) == (stage == 2)
    if form == "separate" and stage == 2:
        assert batch["slots"].tolist() == [[*range(20)]] * 3 and batch["source_ids"].shape[1] < 20
    else:
        assert batch["source_ids"].shape == (3, 20) and hidden.sum() == batch["slot_mask"].sum()
        assert torch.equal(batch["source_ids"][~hidden], batch["target_ids"][~hidden])


def test_every_stage_trains_what_it_should() -> None:
    flow = fresh_model(YanConfig(**SIZES), 0)
    before = {name: tensor.clone() for name, tensor in flow.state_dict().items()}
    TrainStep(flow, 1, 12, 2, torch.bfloat16, RULES)()
    changed = {
        name.split(".")[0] for name, tensor in flow.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"encoder", "decoder"}
    assert all(p.dtype == torch.float32 and p.grad is None for p in flow.parameters())


def test_all_models_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    config = YanConfig(**SIZES)
    models = [Named("yan", fresh_model(config, 0)), Named("gpt2", fresh_model(baseline_config("gpt2", config), 0))]
    turns: list[Any] = []
    seconds = TrainStep.seconds
    monkeypatch.setattr(TrainStep, "seconds", lambda step, clock: (turns.append(step.stage), seconds(step, clock))[1])
    runs, tflop = train_timed(models, 12, 2, torch.float32, RULES)
    assert list(runs) == ["yan, stage 1", "yan, stage 2", "gpt2"] == list(tflop)
    assert turns == [1, 1, 2, 2, 1, 1] + [1, 2, 1] * 2
    assert all(len(run["seconds"]) == 2 for run in runs.values()) and min(tflop.values()) > 0
    runs, _ = train_timed(models[:1], 12, 2, torch.float32, RULES._replace(slow=1e-9))
    assert all(len(run["seconds"]) == 1 for run in runs.values())
