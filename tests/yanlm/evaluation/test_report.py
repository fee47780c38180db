"""Scores and baselines, against values computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from yanlm.evaluation.cases import baselines, rouge_scores, score
from yanlm.evaluation.report import cases, evaluate, masked_positions
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

ROWS = [{"text": "the cat sat on the mat and the dog ran"}, {"text": "the red house near a small river"}]
QUESTIONS = [
    {"context": "Ann is in the hall . Bob is in the attic .", "question": "Where is Ann ?", "answer": "hall"},
    {"context": "Bob is in the attic . Ann is in the hall .", "question": "Where is Ann ?", "answer": "hall"},
]


def test_scores_of_the_truth_and_of_one_mistake(builder: Builder) -> None:
    made = cases(builder, ROWS)
    truth = [list(case.example.target) for case in made]
    perfect = score(builder, made, truth)
    assert perfect == {"masked_accuracy": 1, "exact_match": 1, "copied_accuracy": 1, "rouge1": 1, "rougeL": 1}
    hidden = sum(len(case.masked) for case in made)
    truth[0][made[0].masked[0]] = builder.pad
    wrong = score(builder, made, truth)
    assert wrong["masked_accuracy"] == pytest.approx(1 - 1 / hidden)
    assert wrong["exact_match"] == 0.5 and wrong["copied_accuracy"] == 1


def test_hidden_positions_of_the_separate_form(tokenizer: Any) -> None:
    options = {"max_length": 48, "masking": Masking(rate=(0.3, 0.3))}
    builds = [Builder(tokenizer, form=form, **options) for form in ("slots", "separate")]
    for seed in range(20):
        slots, separate = (build.example(ROWS[0], seed) for build in builds)
        assert masked_positions(separate, builds[1]) == slots.slots == masked_positions(slots, builds[0])
    answer = builds[1].example(QUESTIONS[0], 0)
    assert masked_positions(answer, builds[1]) == answer.slots


def test_rouge_is_in_zero_to_one() -> None:
    scores = rouge_scores(["the cat sat", "x"], ["the cat ran", "y"])
    assert scores["rouge1"] == pytest.approx((2 / 3 + 0) / 2)


def test_baselines_of_text(builder: Builder) -> None:
    made = cases(builder, ROWS)
    found = baselines(builder, made, [{"text": "the the the the cat"}], ROWS)
    assert set(found) == {"copy_source", "unigram"}
    the = builder.tokenizer.encode(" the")
    hits = sum(case.example.target[i] == the[0] for case in made for i in case.masked)
    assert found["unigram"]["masked_accuracy"] == pytest.approx(hits / sum(len(case.masked) for case in made))
    assert found["copy_source"]["rouge1"] < 1


def test_baselines_of_questions(builder: Builder) -> None:
    train = [*QUESTIONS, {"context": "", "question": "", "answer": "attic"}]
    found = baselines(builder, cases(builder, QUESTIONS), train, QUESTIONS)
    assert found == {"majority": {"exact_match": 1.0}, "last_mentioned": {"exact_match": 0.5}}


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
    assert len(report["examples"]) == 1 and set(report["examples"][0]) == {"source", "filled", "truth"}
    assert report == evaluate(model, build, rows, rows, steps=(1, 3), examples=1)
    assert "by_steps" not in evaluate(model, build, rows, rows, flow=False)
    if form == "slots":
        assert all(scores["copied_accuracy"] == 1 for scores in report["by_steps"].values())
