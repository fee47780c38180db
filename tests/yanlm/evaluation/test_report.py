"""Scores and baselines, against values computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from yanlm.evaluation.held_out import held_out_examples, masked_positions
from yanlm.evaluation.report import evaluate
from yanlm.evaluation.token_scores import rouge_scores, token_baselines, token_scores
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

ROWS = [{"text": "the cat sat on the mat and the dog ran"}, {"text": "the red house near a small river"}]
QUESTIONS = [
    {"context": "Ann is in the hall . Bob is in the attic .", "question": "Where is Ann ?", "answer": "hall"},
    {"context": "Bob is in the attic . Ann is in the hall .", "question": "Where is Ann ?", "answer": "hall"},
]


def test_scores_of_the_truth_and_of_one_mistake(builder: Builder) -> None:
    examples = held_out_examples(builder, ROWS)
    truth = [list(example.target) for example in examples]
    perfect = token_scores(builder, examples, truth)
    assert perfect == {"masked_accuracy": 1, "exact_match": 1, "copied_accuracy": 1, "rouge1": 1, "rougeL": 1}
    hidden = sum(len(masked_positions(example, builder)) for example in examples)
    truth[0][masked_positions(examples[0], builder)[0]] = builder.pad
    wrong = token_scores(builder, examples, truth)
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
    examples = held_out_examples(builder, ROWS)
    found = token_baselines(builder, examples, ROWS, [{"text": "the the the the cat"}])
    assert set(found) == {"copy_source", "unigram"}
    the = builder.tokenizer.encode(" the")
    hidden = [[example.target[i] for i in masked_positions(example, builder)] for example in examples]
    hits = sum(token == the[0] for tokens in hidden for token in tokens)
    assert found["unigram"]["masked_accuracy"] == pytest.approx(hits / sum(map(len, hidden)))
    assert found["copy_source"]["rouge1"] < 1


def test_baselines_of_questions_and_labels_together(builder: Builder) -> None:
    labelled = [{"text": "the cat sat", "label": "hall"}, {"text": "the dog ran", "label": "house"}]
    rows = [labelled[0], *QUESTIONS, labelled[1]]
    baselines = token_baselines(builder, held_out_examples(builder, rows), rows, [*QUESTIONS, *labelled[1:]])
    assert baselines == {"majority": {"exact_match": 3 / 4}, "last_mentioned": {"exact_match": 1.0}}


def test_baselines_of_questions(builder: Builder) -> None:
    train = [*QUESTIONS, {"context": "", "question": "", "answer": "attic"}]
    found = token_baselines(builder, held_out_examples(builder, QUESTIONS), QUESTIONS, train)
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
