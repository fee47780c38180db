"""Items filled with predicted lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import EXPECTED, ROWS, TASKS

from yanlm.evaluation.evaluator import evaluate_task
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
