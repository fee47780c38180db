"""Scores of a task: the truth scores 1, garbage 0, and small cases come out as computed by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from oracle import EXPECTED, ROWS, TASKS, Oracle, metrics_of

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.items import Fill, items
from yanlm.evaluation.scoring import Scorer
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking


@pytest.mark.parametrize("form", ["slots", "separate"])
@pytest.mark.parametrize("task", TASKS)
def test_the_truth_scores_one(tokenizer: Any, task: str, form: str) -> None:
    builder = Builder(tokenizer, form=form, max_length=48, masking=Masking(rate=(0.3, 0.3)))
    model: Any = Oracle(builder, ROWS[task], task, lambda truth: truth)
    found = evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=(2, 3), samples=2)
    scores = metrics_of(found)
    assert EXPECTED[task] <= scores.keys()
    diverse = {name: scores.pop(name) for name in ("distinct_2", "self_bleu", "unique")}
    assert set(scores.values()) == {1.0} and diverse["unique"] == 0.5
    assert list(found.report["by_steps"]) == ["2", "3"]
    assert json.loads(json.dumps(found.report)) == found.report


@pytest.mark.parametrize("task", TASKS)
def test_garbage_scores_zero(builder: Builder, task: str) -> None:
    dots = builder.tokenizer.encode("!")[0]
    model: Any = Oracle(builder, ROWS[task], task, lambda truth: [dots] * len(truth))
    scores = metrics_of(evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=[1]))
    known = {name: scores.pop(name) for name in ("rouge1", "rougeL", "text_rouge1") if task != "qa" and name in scores}
    assert set(scores.values()) == {0.0}
    assert all(value < 1 for value in known.values())  # of whole texts: words that were never masked


def test_three_rows_by_hand(builder: Builder) -> None:
    rows = [
        {"context": "a", "question": "?", "answer": "the red house", "task": "qa1"},
        {"context": "b", "question": "?", "answer": "mat", "answers": ["mat", "a mat"], "task": "qa2"},
        {"context": "c", "question": "?", "answer": "river", "task": "qa2"},
    ]
    answers = {" the red house": " the old house", " mat": " a mat.", " river": " dog"}
    build = Builder(builder.tokenizer, max_length=48, lengths="padding", pad_to=12)

    def answer(truth: list[int]) -> list[int]:
        text = builder.tokenizer.decode(truth, skip_special_tokens=True)
        ids = builder.tokenizer.encode(answers[text])
        return ids + [builder.pad] * (12 - len(ids))

    model: Any = Oracle(build, rows, "qa", answer)
    found = evaluate_task(model, build, rows, rows, "qa", steps=[1])
    [scores] = found.report["by_steps"].values()
    assert found.report["length"] == "padding" and not found.report["length_leaks"]
    assert scores["exact_match"] == pytest.approx(1 / 3)
    assert scores["f1"] == pytest.approx((0.5 + 1 + 0) / 3)  # house of red house and old house; mat; nothing
    assert scores["rougeL"] == pytest.approx((2 / 3 + 1 + 0) / 3)  # the best of the references, as for F1
    assert scores["by_task"] == {"qa1": 1.0, "qa2": 0.5}
    assert scores["mean_error"] == 0.75 and scores["failed_tasks"] == 2
    low, high = scores["exact_match_ci95"]
    assert 0 <= low <= scores["exact_match"] <= high <= 1
    assert [one["prediction"] for one in found.predictions] == ["the old house", "a mat.", "dog"]
    assert (
        found.predictions[1]["references"] == ["mat", "a mat"] and found.predictions[0]["reference"] == "the red house"
    )


@pytest.mark.parametrize("task", ["infill", "sentence", "qa"])
def test_other_scripts_have_no_rouge(builder: Builder, task: str) -> None:
    rows = {
        "infill": [{"text": "Кот стоял у реки, а потом молчал в 1941 году."}],
        "sentence": [{"source": "Кот стоял. <mask> Дом молчал.", "target": "Вечером поезд ждал IBM."}],
        "qa": [{"context": "猫は家にいる", "question": "?", "answer": "家にある 1"}],
    }[task]
    build = Builder(builder.tokenizer, max_length=120, masking=Masking(rate=(0.3, 0.3)))
    model: Any = Oracle(build, rows, task, lambda truth: truth)
    report = evaluate_task(model, build, rows, rows, task, steps=[1]).report
    for scores in [*report["by_steps"].values(), *report["baselines"].values()]:
        assert not any("rouge" in name for name in scores) and "exact_match" in scores


def test_empty_answers_are_scored_as_squad_does(builder: Builder) -> None:
    rows = [{"context": f"{answer} b", "question": "?", "answer": answer} for answer in ("A", "the", "mat")]
    right: Any = Oracle(builder, rows, "qa", lambda truth: truth)
    scores = metrics_of(evaluate_task(right, builder, rows, rows, "qa", steps=[1]))
    assert scores["exact_match"] == scores["f1"] == 1  # articles are compared as they are
    made = items(builder, rows, "qa")
    fills = [Fill([], [text], text) for text in ("the", "", "")]
    wrong = Scorer("qa", made).score(fills)
    assert [row["exact_match"][0] for row in wrong] == [row["f1"][0] for row in wrong] == [0, 0, 0]
    empty = [item._replace(references=[""]) for item in made]
    both = Scorer("qa", empty).score(fills)
    assert [row["exact_match"][0] for row in both] == [1, 1, 1] and [row["f1"][0] for row in both] == [0, 0, 0]


def test_infilling_by_hand(builder: Builder) -> None:
    build = Builder(builder.tokenizer, max_length=48, masking=Masking(rate=(0.4, 0.4), spans=(3,)))
    wrong = builder.tokenizer.encode("!")[0]
    model: Any = Oracle(build, ROWS["infill"], "infill", lambda truth: [*truth[:-1], wrong])  # one token of each row
    scores = metrics_of(evaluate_task(model, build, ROWS["infill"], ROWS["infill"], "infill", steps=[1]))
    made = items(build, ROWS["infill"], "infill")
    lengths = [len(span) for item in made for span in item.truth]
    assert scores["masked_accuracy"] == pytest.approx(1 - 2 / sum(lengths))
    assert scores["span_exact"] == pytest.approx(1 - 2 / len(lengths))
    last = [len(item.truth[-1]) >= 3 for item in made]
    assert scores["span_exact_3"] == pytest.approx(1 - sum(last) / sum(length >= 3 for length in lengths))
    assert scores["exact_match"] == 0
