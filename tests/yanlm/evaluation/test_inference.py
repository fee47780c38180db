"""Items filled by models of every kind, with given and with predicted lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import EXPECTED, ROWS, TASKS

from yanlm.config import ARConfig
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.modeling.autoregressive import ARModel
from yanlm.tokenization.examples import Builder


@pytest.mark.parametrize("form", ["slots", "separate"])
@pytest.mark.parametrize("task", TASKS)
def test_predicted_lengths(make_model: Callable[..., Any], tokenizer: Any, task: str, form: str) -> None:
    model = make_model(form=form, align=form == "slots")
    builder = Builder(tokenizer, form=form, max_length=48)
    found = evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=[1], length="predicted")
    scores = found.report["by_steps"]["1"]
    assert found.report["length"] == "predicted" and "masked_accuracy" not in scores
    assert not found.report.get("length_leaks")
    assert EXPECTED[task] - {"masked_accuracy"} <= scores.keys()


@pytest.mark.parametrize("method", ["gpt2", "bart", "mlm", "mdlm"])
def test_other_methods(make_model: Callable[..., Any], tokenizer: Any, builder: Builder, method: str) -> None:
    ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
    if method in ("gpt2", "bart"):
        sizes = {"d_model": 16, "num_heads": 2, "layers": 2, "max_length": 48}
        model: Any = ARModel(ARConfig(method=method, vocab_size=len(tokenizer), **sizes, **ids)).eval()
    else:
        model = make_model(method=method)
    rows = ROWS["infill"]
    found = evaluate_task(model, builder, rows, rows, "infill", steps=(2, 4), seeds=(0, 1))
    assert list(found.report["by_steps"]) == (["1"] if method in ("gpt2", "bart") else ["2", "4"])
    assert found.report["seeds"] == [0] and "one_pass" not in found.report  # greedy: a second seed changes nothing
    free = evaluate_task(model, builder, rows, rows, "infill", steps=[1], length="predicted", samples=2).report
    assert free["by_steps"]["1"]["unique"] == 0.5 and "masked_accuracy" not in free["by_steps"]["1"]
    drawn = evaluate_task(model, builder, rows, rows, "infill", steps=[1], seeds=(0, 1), temperature=1.0).report
    assert drawn["seeds"] == [0, 1] and drawn["temperature"] == 1.0
    assert drawn.get("order") == ("confidence" if model.can.order else None)
    if model.can.order:
        mixed = evaluate_task(model, builder, rows, rows, "infill", steps=[2], seeds=(0, 1), order="random").report
        assert mixed["seeds"] == [0, 1] and mixed["order"] == "random"
