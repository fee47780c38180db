"""Rows for each task: what is masked, what is left out, and what is said where a task and its rows do not fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.corpus import Corpus
from yanlm.data.rows import DataError, Row
from yanlm.tasks.rows import load_task, task_rows
from yanlm.tasks.task import TASKS
from yanlm.tokenization.examples import Builder

STORY = "Tom woke late. The sun was high. He ran to school. Nobody was there."
QA: Row = {"context": STORY, "question": "q", "answer": "a", "answers": ["a", "b"], "task": "3"}
FITTING: dict[str, list[Row]] = {
    "infill": [{"text": STORY}],
    "sentence": [{"text": STORY}],
    "completion": [{"text": STORY}],
    "qa": [QA],
    "classify": [{"text": STORY, "label": "l"}],
}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def loaded(spec: Any, task: str, **options: Any) -> tuple[Corpus, list[str]]:
    notes: list[str] = []
    corpus = load_task(str(spec), task, on_note=notes.append, **options)
    assert all("\n" not in note for note in notes)
    return corpus, notes


def fault(spec: Any, task: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_task(str(spec), task, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestTaskRows:
    def test_short_texts_and_texts_with_masks_are_left_out(self) -> None:
        rows = [{"text": STORY}, {"text": "One. Two."}, {"text": f"{STORY} <mask> it. Yes."}, {"text": "word"}]
        assert len(task_rows(rows, "sentence")) == 1
        assert [row["target"] for row in task_rows(rows, "completion")] == ["there", "Two"]
        assert len(task_rows(rows, "infill")) == 4

    def test_texts_of_questions_are_their_contexts_each_once(self) -> None:
        asked = [
            {**QA, "context": context, "question": f"{n}?"} for n, context in enumerate([STORY, "B b.", STORY, ""])
        ]
        assert task_rows([*asked, {"text": STORY}], "infill") == [{"text": STORY}, {"text": "B b."}, {"text": STORY}]
        [row] = task_rows(asked, "sentence")
        assert row["source"].replace("<mask>", row["target"]) == STORY
        assert [row["target"] for row in task_rows(asked, "completion")] == ["there", "b"]
        assert task_rows(asked, "qa") == asked

    def test_sources_and_targets(self) -> None:
        pair = [{"source": "s", "target": "t"}]
        assert task_rows(pair, "qa") == [{"context": "s", "question": "", "answer": "t"}]
        assert task_rows(pair, "classify") == [{"text": "s", "label": "t"}]
        for task in ("infill", "sentence", "completion"):
            with pytest.raises(DataError, match=r"needs the fields text, the rows have source, target; give --source"):
                task_rows(pair, task)

    def test_rows_that_do_not_fit(self) -> None:
        for task in TASKS:
            for rows in FITTING.values():
                if rows == FITTING[task] or (task not in ("qa", "classify") and rows[0].keys() & {"text", "context"}):
                    assert task_rows(rows, task)
                    continue
                with pytest.raises(DataError) as caught:
                    task_rows(rows, task)
                message = str(caught.value)
                assert f"task {task} needs the fields" in message and "--source-field" in message
                assert ", ".join(rows[0]) in message and "\n" not in message

    def test_errors(self) -> None:
        with pytest.raises(DataError, match="task must be one of infill, sentence, completion, qa, classify, got 'x'"):
            task_rows([{"text": "a"}], "x")
        with pytest.raises(DataError, match="task qa needs at least one row; there is none"):
            task_rows([], "qa")
        with pytest.raises(DataError, match=r"sentence leaves out all 1 rows \(fewer than three sentences"):
            task_rows([{"text": "One. Two."}], "sentence")
        with pytest.raises(DataError, match="task qa needs the fields context, question, answer"):
            task_rows([{"source": "<mask> <mask>", "target": ["a", "b"]}], "qa")

    @pytest.mark.parametrize("form", ["slots", "separate"])
    @pytest.mark.parametrize("task", TASKS)
    def test_the_builder_takes_them(self, tokenizer: Any, task: str, form: str) -> None:
        builder = Builder(tokenizer, form=form, max_length=256)
        for row in task_rows(FITTING[task], task):
            example = builder.example(row, 0)
            assert example.slots
            if task in ("sentence", "completion"):
                written = tokenizer.decode([example.target[slot] for slot in example.slots])
                assert written.strip() == row["target"]


class TestLoadTask:
    def test_every_split(self, tmp_path: Path) -> None:
        for name, n in (("train", 30), ("validation", 5), ("test", 6)):
            write(tmp_path / f"{name}.jsonl", [{"text": f"{name} {k}. {STORY}"} for k in range(n)] + [{"text": "No."}])
        corpus, notes = loaded(tmp_path / "train.jsonl", "sentence")
        assert [len(part) for part in (corpus.rows or [], corpus.validation, corpus.test)] == [30, 5, 6]
        assert corpus.kind == "seq2seq" and all("<mask>" in row["source"] for row in corpus.test)
        assert (
            f"{tmp_path / 'train.jsonl'}: 1 of 7 test rows left out (fewer than three sentences, or <mask> in the text)"
            in notes
        )
        other, _ = loaded(tmp_path / "train.jsonl", "completion")
        assert other.fingerprint != corpus.fingerprint == loaded(tmp_path / "train.jsonl", "sentence")[0].fingerprint

    def test_fields_of_other_names(self, tmp_path: Path) -> None:
        records = [{"id": n, "review": f"{STORY} {n}", "stars": n % 2} for n in range(60)]
        path = write(tmp_path / "a.jsonl", records)
        corpus, _ = loaded(path, "classify", source_field="review", target_field="stars")
        assert corpus.kind == "classify" and {row["label"] for row in corpus.rows or []} == {"0", "1"}
        corpus, _ = loaded(path, "qa", source_field="review", target_field="stars")
        assert corpus.test[0]["question"] == "" and corpus.test[0]["context"].startswith("Tom")
        for option in ("source_field", "text_column"):
            assert loaded(path, "completion", **{option: "review"})[0].kind == "seq2seq"
        assert "has no field 'rating' (fields there: id, review, stars)" in fault(
            path, "classify", source_field="review", target_field="rating"
        )
        message = fault(path, "classify", source_field="review")
        assert (
            "task classify needs the fields text, label, the rows have text; name them with --source-field" in message
        )
        assert message.startswith(f"{path}, training rows: ")

    def test_a_row_without_the_fields(self, tmp_path: Path) -> None:
        rows: list[dict[str, Any]] = [{"text": f"number {n}", "label": str(n % 2)} for n in range(99)]
        path = write(tmp_path / "a.jsonl", [*rows, {"text": "nobody said"}])
        corpus, notes = loaded(path, "classify")
        assert len(corpus.rows or []) + len(corpus.validation) + len(corpus.test) == 99
        why = "task classify needs the fields text, label, the rows have text"
        assert f"{path}: 1 of 100 rows left out: {why}; the first begins 'nobody said'" in notes
        path = write(tmp_path / "b.jsonl", [*rows[:9], *({"text": f"unknown {n}"} for n in range(30))])
        assert f"{why}; name them with --source-field" in fault(path, "classify")

    def test_tasks_are_checked_before_anything_is_read(self) -> None:
        assert fault("nowhere.jsonl", "summary").startswith("task must be one of")

    def test_labels_that_training_never_shows(self, tmp_path: Path) -> None:
        def split(name: str, *labels: str) -> None:
            write(
                tmp_path / f"{name}.jsonl", [{"text": f"{name} {k}", "label": label} for k, label in enumerate(labels)]
            )

        split("train", *"aabb")
        split("validation", *"ac")
        split("test", *"abbcc")
        _, notes = loaded(tmp_path / "train.jsonl", "classify")
        assert any("1 of 3 labels of the test rows are in no training row (c): 2 rows" in note for note in notes)
        assert any("1 of 2 labels of the validation rows are in no training row (c)" in note for note in notes)
        split("test", *"acd")
        message = fault(tmp_path / "train.jsonl", "classify")
        assert "2 of 3 labels of the test rows are in no training row (c, d); correct the labels" in message

    def test_streams_are_read_whole(self, tmp_path: Path) -> None:
        pytest.importorskip("datasets")
        (tmp_path / "set").mkdir()
        write(tmp_path / "set" / "train.jsonl", [{"text": f"{STORY} {n}"} for n in range(2500)])
        write(tmp_path / "set" / "test.jsonl", [{"text": f"Another. {STORY} {n}"} for n in range(300)])
        corpus, _ = loaded(f"hf:{tmp_path / 'set'}", "sentence")
        assert len(corpus.test) == 300 and len(corpus.rows or []) + len(corpus.validation) == 2500

    def test_the_first_rows_of_endless_streams(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("datasets")
        monkeypatch.setattr("yanlm.data.sources.WHOLE_MOST", 100)
        write(tmp_path / "train.jsonl", [{"text": f"{STORY} {n}"} for n in range(150)])
        corpus, notes = loaded(f"hf:{tmp_path}", "completion")
        assert len(corpus.rows or []) + len(corpus.validation) + len(corpus.test) == 100
        assert f"hf:{tmp_path}: the train split is longer than 100 rows; the first 100 are used" in notes
