"""``qa``: the answer to a question about a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from yanlm.data.rows import Row
from yanlm.tasks.definition import Task
from yanlm.tasks.heuristics import last_mentioned, majority, retrieval
from yanlm.tasks.making import check_fields, is_pair


def make_row(row: Row, seed: int) -> Row:
    """``{"context", "question", "answer"}``, and ``answers`` and ``task`` if a row has them."""
    if is_pair(row):
        return {"context": row["source"], "question": row.get("question", ""), "answer": row["target"]}
    check_fields(row, "qa", "qa")
    return dict(row)


def references(row: Mapping[str, Any]) -> list[str]:
    """All right answers."""
    return [str(answer).strip() for answer in row.get("answers") or [row["answer"]]]


def guesses(train_rows: Sequence[Mapping[str, Any]], test_rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The most frequent answer, the known answer mentioned last, and that of the nearest training row."""
    return {
        "majority": majority([row["answer"] for row in train_rows], len(test_rows)),
        "last_mentioned": last_mentioned(train_rows, test_rows),
        "retrieval": retrieval(train_rows, test_rows),
    }


TASK = Task(
    name="qa",
    kind="qa",
    make_row=make_row,
    references=references,
    metrics=("exact_match", "f1", "rougeL"),
    main=("exact_match", "f1"),
    columns=("exact_match", "f1", "rougeL", "mean_error"),
    stops_on="exact_match",
    length_tells=True,
    guesses=guesses,
)
