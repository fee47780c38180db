"""Rows of a task that a study compares models on, and what is heard of the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.studies.tools.quality import check_measured, task_rows


def test_notes_of_the_data_are_heard_and_what_decides_the_rows_is_kept(tmp_path: Path) -> None:
    asked = [{"context": f"{n // 2} cats sat .", "question": f"{n} ?", "answer": "cats"} for n in range(200)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    notes: list[str] = []
    rows = task_rows([str(tmp_path / "asked.jsonl")], "infill", 5, say=notes.append, length="given")
    assert len(rows.test) == 5 and any("the contexts, each once" in note for note in notes)
    assert list(rows.settings.pop("fingerprints")) == [str(tmp_path / "asked.jsonl")]
    assert rows.settings == {
        "data": [str(tmp_path / "asked.jsonl")], "task": "infill", "metric": "masked_accuracy", "rows": 5,
        "text_column": None, "length": "given",
    }  # fmt: skip
    assert rows.description.startswith("Masked tokens right on 5 held-out rows of 3 different texts (infill, ")
    with pytest.raises(ValueError, match="rows"):
        task_rows([str(tmp_path / "asked.jsonl")], "infill", 0)


def test_the_score_is_known_before_the_data_is_read_and_by_default_it_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metric must be one of accuracy, macro_f1, .* for task classify, got 'f1'"):
        task_rows([str(tmp_path / "none.txt")], "classify", 5, metric="f1")
    (tmp_path / "own.txt").write_text("".join(f"the cat {i} sat .\n" for i in range(9)))
    assert task_rows([str(tmp_path / "own.txt")], "infill", 5, length="predicted").metric == "span_exact"
    rows = task_rows([str(tmp_path / "own.txt")], "infill", 5, metric="span_exact_3")
    with pytest.raises(ValueError, match="metric must be one of span_exact for these rows of task infill"):
        check_measured(rows, {"span_exact": 0.5, "n": 3})


def test_rows_with_fields_of_other_names(tmp_path: Path) -> None:
    lines = [json.dumps({"title": f"the cat {i} sat .", "topic": ("cats", "dogs")[i % 2]}) for i in range(60)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    fields: dict[str, Any] = {"source_field": "title", "target_field": "topic"}
    rows = task_rows([str(tmp_path / "own.jsonl")], "classify", 2, **fields)
    assert set(rows.test[0]) == {"text", "label"} and rows.settings.items() >= fields.items()
