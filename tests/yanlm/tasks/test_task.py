"""The registry of tasks, and a task that is added: everything works for it as for those of the library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_task import TEXTS, own_task
from toys import labelled

from moefm_cli.yanlm import app
from yanlm.data.rows import DataError, Row
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.items import items
from yanlm.evaluation.scoring import METRICS
from yanlm.modeling.io import save_model
from yanlm.runs.finetuning import finetune_settings, pad_answers
from yanlm.runs.settings import resolve
from yanlm.runs.validation import validation_score
from yanlm.tasks.definition import Task
from yanlm.tasks.rows import load_task, task_rows
from yanlm.tasks.task import TASKS, get_task, register, unregister
from yanlm.tokenization.examples import Builder


@pytest.fixture
def added() -> Iterator[Task]:
    yield register(own_task())
    unregister("first_word")
    assert "first_word" not in TASKS


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "train.jsonl"
    for name in ("train", "validation", "test"):
        rows = [{"text": text} for text in [*TEXTS, "<mask> is left out ."]]
        path.with_stem(name).write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture
def folder(make_model: Callable[..., Any], tokenizer: Any, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", make_model(), tokenizer)
    return tmp_path / "model"


def test_tasks_by_name() -> None:
    assert list(TASKS) == ["infill", "sentence", "completion", "qa", "classify"]
    assert all(get_task(name) is known and known.name == name for name, known in TASKS.items())
    own = own_task()
    assert get_task(own) is own  # it need not be registered
    with pytest.raises(DataError, match="task must be one of infill, sentence, completion, qa, classify, got 'first"):
        get_task("first_word")


def test_a_name_is_taken_once(added: Task) -> None:
    with pytest.raises(ValueError, match="there is a task first_word already"):
        register(own_task())
    with pytest.raises(DataError, match="classify, first_word, got 'x'"):
        get_task("x")


def test_rows_of_an_added_task(added: Task, data: str) -> None:
    notes: list[str] = []
    corpus = load_task(data, "first_word", on_note=notes.append)
    assert corpus.kind == "seq2seq" and corpus.test[1] == {"source": "<mask> cat sat on the mat .", "target": "old"}
    assert len(corpus.test) == 40 and any("1 of 41 test rows left out (<mask> in the text)" in note for note in notes)


def test_evaluation_of_an_added_task(added: Task, data: str, make_model: Callable[..., Any], builder: Builder) -> None:
    corpus = load_task(data, "first_word")
    result = evaluate_task(make_model(), builder, corpus.rows or [], corpus.test[:6], "first_word", steps=[1])
    assert result.report["task"] == "first_word" and set(result.report["baselines"]) == {"majority"}
    assert result.report["baselines"]["majority"]["exact_match"] == pytest.approx(2 / 6)
    scores = result.report["by_steps"]["1"]
    assert {"masked_accuracy", "exact_match", "first_letter", "exact_match_ci95"} <= scores.keys()
    assert "first_letter" in result.predictions[0]["scores"] and "length_leaks" not in result.report


def test_a_task_that_is_not_registered(make_model: Callable[..., Any], builder: Builder) -> None:
    own = own_task(name="own")
    rows = task_rows([{"text": text} for text in TEXTS[:4]], own)
    assert evaluate_task(make_model(), builder, rows, rows, own, steps=[1]).report["task"] == "own"


def test_early_stopping_of_an_added_task(
    added: Task, data: str, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    settings = resolve(
        {"data": data, "task": "first_word", "check_every": 1, "check_rows": 4, "steps1": 1, "steps2": 1}
    )
    heard: list[tuple[int, str, float]] = []
    corpus = load_task(data, "first_word")
    look = validation_score(settings, tokenizer, corpus, lambda *check: heard.append(check))
    assert look is not None
    score = look(make_model(), 7)
    assert heard == [(7, "first letter", score)] and 0 <= score <= 1


def test_fine_tuning_begins_with_the_settings_of_the_task(added: Task, data: str, folder: Path) -> None:
    settings = finetune_settings(folder, "first_word", [data], {"steps": 2})
    assert (settings.task, settings.patience, settings.model["pad_to"]) == ("first_word", 3, 0)
    assert finetune_settings(folder, "first_word", [data], {"steps": 2, "patience": 9}).patience == 9


def test_answers_are_padded_where_the_task_says_so(data: str, folder: Path, tokenizer: Any) -> None:
    register(own_task(name="padded", padded=True))
    try:
        settings = finetune_settings(folder, "padded", [data], {"steps": 2})
        settings = pad_answers(settings, load_task(data, "padded"))
    finally:
        unregister("padded")
    assert settings.model["pad_to"] == max(len(tokenizer.encode(f" {text.split()[0]}")) for text in TEXTS)


def test_the_command_shows_the_columns_of_an_added_task(
    added: Task, data: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", folder, "--task", "first_word", "--data", data, "--steps", 1, "--seeds", 1, "--limit", 4)
    monkeypatch.setattr("sys.argv", ["yanlm", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        app.main()
    printed, err = capsys.readouterr()
    assert stop.value.code == 0, err
    table = err[err.index("first_word: 4 rows") :]
    assert "exact match" in table and "first letter" in table and "majority" in table
    assert json.loads(Path(printed.splitlines()[0].removeprefix("report: ")).read_text())["task"] == "first_word"


def wrong_kind(row: Row, seed: int) -> Row:
    return {"text": row["text"]}


def test_rows_of_another_kind_are_named() -> None:
    with pytest.raises(DataError, match=r"makes rows of the kind text \(text\), and its kind is seq2seq"):
        task_rows([{"text": "a b"}], own_task(make_row=wrong_kind))


def test_an_unknown_metric_is_named_before_anything_is_generated(
    make_model: Callable[..., Any], builder: Builder
) -> None:
    own = own_task(metrics=("exact_match", "bleu"), stops_on="exact_match")
    rows = task_rows([{"text": TEXTS[0]}], own)
    with pytest.raises(ValueError, match=r"task first_word: metrics must be among masked_accuracy, .*, got 'bleu'"):
        evaluate_task(make_model(), builder, rows, rows, own)


@pytest.mark.parametrize("known", TASKS.values(), ids=lambda known: known.name)
def test_metrics_of_the_tasks_exist(known: Task) -> None:
    assert set(known.metrics) <= METRICS.keys()
    means_over_all = {"macro_f1", "mean_error"}
    assert set(known.columns) <= {*known.metrics, *means_over_all}


def test_a_score_that_a_model_does_not_have_stops_nothing_silently(
    added: Task, data: str, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    register(own_task(name="tokens", stops_on="masked_accuracy"))
    try:
        settings = resolve({"data": data, "task": "tokens", "check_every": 1, "steps1": 1, "steps2": 1})
        look = validation_score(settings, tokenizer, load_task(data, "tokens"))
        assert look is not None
        with pytest.raises(ValueError, match="task tokens stops on masked_accuracy"):
            look(make_model(pad_to=4), 1)
    finally:
        unregister("tokens")


def test_items_of_an_added_task(builder: Builder) -> None:
    [item] = items(builder, task_rows([{"text": TEXTS[1]}], own_task()), own_task())
    assert item.references == ["old"] and item.words == ["old"] and item.text == TEXTS[1]


GUESSED: dict[str, list[dict[str, Any]]] = {
    "infill": [{"text": "a b c"}],
    "sentence": [{"source": "A. <mask> C.", "target": "B."}],
    "completion": [{"source": "The cat sat on the <mask>.", "target": "mat"}],
    "qa": [{"context": "Ann is in the hall.", "question": "Where is Ann?", "answer": "hall", "answers": ["hall"]}],
    "classify": labelled(4, 0),
}
NAMES = {
    "sentence": {"neighbour", "frequent_words"},
    "completion": {"majority", "ngram"},
    "qa": {"majority", "last_mentioned", "retrieval"},
    "classify": {"majority", "tfidf_logreg"},
}


@pytest.mark.parametrize("name", GUESSED)
def test_guesses_of_each_task(name: str) -> None:
    guesses = get_task(name).guesses(GUESSED[name], GUESSED[name] * 3)
    assert set(guesses) == NAMES.get(name, set())
    assert all(len(texts) == 3 * len(GUESSED[name]) for texts in guesses.values())


def test_guesses_without_training_rows() -> None:
    with pytest.raises(ValueError, match="train_rows holds nothing"):
        get_task("qa").guesses([], GUESSED["qa"])
    with pytest.raises(ValueError, match="train_rows holds nothing"):
        get_task("sentence").guesses([], GUESSED["sentence"])
    assert get_task("infill").guesses([], []) == {}
