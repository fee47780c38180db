"""The report of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from yanlm.evaluation.report import evaluate
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder

ROWS = [{"text": "the cat sat on the mat and the dog ran"}, {"text": "the red house near a small river"}]


QUESTIONS = [
    {"context": "Ann is in the hall . Bob is in the attic .", "question": "Where is Ann ?", "answer": "hall"},
    {"context": "Bob is in the attic . Ann is in the hall .", "question": "Where is Ann ?", "answer": "hall"},
]


def test_a_report_on_another_script_has_no_rouge(make_model: Callable[..., YanModel], tokenizer: Any) -> None:
    rows = [{"text": "Кот стоял у реки, а потом молчал."}, {"text": "В 1941 году 12 домов."}]
    model, build = make_model(max_length=96), Builder(tokenizer, max_length=96)
    report = evaluate(model, build, rows, rows, steps=(1,), examples=1)
    tables = [*report["baselines"].values(), report["one_pass"], *report["by_steps"].values()]
    assert {"copy_source", "unigram"} == report["baselines"].keys()
    assert not any(name.startswith("rouge") for scores in tables for name in scores)
    mixed = evaluate(model, build, rows, [*rows, *ROWS], steps=(1,), examples=1)
    assert 0 < mixed["baselines"]["copy_source"]["rouge1"] < 1


@pytest.mark.parametrize("rows", [ROWS, QUESTIONS, [*ROWS, *QUESTIONS]], ids=["text", "questions", "both"])
@pytest.mark.parametrize("form", ["slots", "separate"])
def test_a_report(make_model: Callable[..., YanModel], tokenizer: Any, rows: list[Any], form: str) -> None:
    model = make_model(form=form, align=form == "slots")
    build = Builder(tokenizer, form=form, max_length=48)
    report = evaluate(model, build, rows, rows, steps=(1, 3), examples=1)
    assert set(report["by_steps"]) == {"1", "3"}
    assert sum(report["experts"]) == pytest.approx(1)
    assert 1 <= report["effective_experts"] <= model.config.num_experts
    assert ("one_pass" in report) == (form == "slots")
    assert len(report["examples"]) == 1 and set(report["examples"][0]) == {"source", "filled", "truth", "masks"}
    assert report == evaluate(model, build, rows, rows, steps=(1, 3), examples=1)
    assert "by_steps" not in evaluate(model, build, rows, rows, flow=False)
    low, high = report["by_steps"]["3"]["masked_accuracy_ci95"]
    assert low <= report["by_steps"]["3"]["masked_accuracy"] <= high
    if form == "slots":
        assert all(scores["copied_accuracy"] == 1 for scores in report["by_steps"].values())


def test_a_time_ends_a_report(make_model: Callable[..., YanModel], builder: Builder) -> None:
    model, heard = make_model(), list[tuple[int, int]]()
    whole = evaluate(model, builder, ROWS, ROWS * 20, steps=(1,), hear=lambda *told: heard.append(told))
    assert (whole["rows"], whole["of"]) == (40, 40) and heard == [(40, 40)]
    assert whole["texts"] == 2 and "texts" not in evaluate(model, builder, ROWS, ROWS, steps=(1,))
    short = evaluate(model, builder, ROWS, ROWS * 20, steps=(1,), seconds=1e-6)
    assert (short["rows"], short["of"]) == (20, 40)
    first = evaluate(model, builder, ROWS, ROWS * 10, steps=(1,))
    assert short == first | {"of": 40}
