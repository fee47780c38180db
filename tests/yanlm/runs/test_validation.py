"""Training on a task: its rows, its score on validation, its evaluation at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.corpus import Corpus, corpus_of
from yanlm.data.sources import Source
from yanlm.evaluation.evaluator import Evaluation
from yanlm.evaluation.predictions import read_predictions
from yanlm.runs import validation
from yanlm.runs.settings import RunSettings, resolve
from yanlm.runs.validation import evaluation_seconds, final_evaluation, run_corpus, validation_score

PAIRS = [{"source": f"the {word} sat on the <mask> .", "target": "mat"} for word in ("cat", "dog", "old", "red")]


def settings(**options: Any) -> RunSettings:
    return resolve({"steps1": 1, "steps2": 1, **options})


def corpus(validation: bool = True, rows: list[dict[str, str]] = PAIRS) -> Corpus:
    return corpus_of("pairs", [Source("pairs", rows, rows[:3] if validation else [], rows[:2])], (1.0,))


def test_rows_of_a_run() -> None:
    assert run_corpus(settings(data="builtin:pydoc"), print).kind == "text"
    assert run_corpus(settings(data="builtin:pydoc", task="completion"), print).kind == "seq2seq"


def test_fields_without_a_task_are_refused() -> None:
    for name in ("source_field", "target_field"):
        with pytest.raises(ValueError, match="source_field and target_field go with a task"):
            run_corpus(settings(data="builtin:pydoc", **{name: "body"}), print)


def test_without_a_task_or_looks_nothing_stops_a_run(tokenizer: Any) -> None:
    assert validation_score(settings(), tokenizer, corpus()) is None
    assert validation_score(settings(task="completion"), tokenizer, corpus()) is None


def test_stopping_early_needs_validation_rows(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match=r"needs validation rows, and pairs has none; add validation.jsonl"):
        validation_score(settings(task="completion", check_every=1), tokenizer, corpus(validation=False))


def test_the_score_is_heard_and_returned(make_model: Callable[..., Any], tokenizer: Any) -> None:
    heard: list[tuple[int, str, float]] = []
    watched = settings(task="completion", check_every=1)
    look = validation_score(watched, tokenizer, corpus(), lambda *check: heard.append(check))
    assert look is not None
    assert heard == [(3, "exact match", look(make_model(), 3))]


def test_the_score_is_of_a_sample(
    make_model: Callable[..., Any], tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": f"the cat {i}", "label": label} for label in ("bad", "good") for i in range(30)]
    sorted_rows = corpus_of("sorted", [Source("sorted", rows, rows, rows)], (1.0,))
    looked: list[set[str]] = []

    def evaluated(model: Any, builder: Any, train: Any, rows: list[dict[str, str]], *_: Any, **__: Any) -> Evaluation:
        looked.append({row["label"] for row in rows})
        return Evaluation({"by_steps": {"1": {"accuracy": len(rows)}}}, [])

    monkeypatch.setattr(validation, "evaluate_task", evaluated)
    look = validation_score(settings(task="classify", check_every=1, check_rows=20), tokenizer, sorted_rows)
    assert look is not None and look(make_model(), 1) == 20
    assert looked == [{"bad", "good"}]


def test_the_evaluation_at_the_end(make_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    chosen = settings(task="completion", eval_rows=1)
    evaluation = final_evaluation(chosen, make_model(), tokenizer, corpus(), tmp_path)
    assert (evaluation["task"], evaluation["n"], evaluation["data"]) == ("completion", 1, "pairs")
    assert len(read_predictions(tmp_path / "predictions.jsonl")) == len(evaluation["by_steps"])


def test_the_time_of_the_evaluation(make_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> None:
    assert evaluation_seconds(settings(), 240.0) == 60 and evaluation_seconds(settings(), 0.0) == 1e-3
    assert evaluation_seconds(settings(eval_rows=9), 240.0) is None is evaluation_seconds(settings(eval_rows="all"), 1)
    many, heard = corpus_of("many", [Source("many", PAIRS, PAIRS, PAIRS * 10)], (1.0,)), list[tuple[int, int]]()

    def evaluated(rows: int | str | None, **more: Any) -> dict[str, Any]:
        chosen = settings(task="completion", eval_rows=rows)
        return final_evaluation(chosen, make_model(), tokenizer, many, tmp_path, **more)

    assert evaluated(None, seconds=1e-3, hear=lambda *told: heard.append(told))["n"] == 20
    assert heard == [(20, 20)]
    assert [evaluated(rows)["n"] for rows in (7, "all")] == [7, 40]


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [("Кот стоял. <mask>", "Дом молчал.", "f1"), ("the cat sat. <mask>", "the dog ran.", "rougeL")],
    ids=["cyrillic", "latin"],
)
def test_sentences_that_rouge_does_not_read_have_f1(
    make_model: Callable[..., Any], tokenizer: Any, source: str, target: str, name: str
) -> None:
    heard: list[tuple[int, str, float]] = []
    watched, rows = settings(task="sentence", check_every=1), corpus(rows=[{"source": source, "target": target}] * 3)
    look = validation_score(watched, tokenizer, rows, lambda *check: heard.append(check))
    assert look is not None
    assert heard == [(7, name, look(make_model(max_length=96), 7))]
