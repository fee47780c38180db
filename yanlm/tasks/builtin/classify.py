"""``classify``: the label of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from yanlm.data.rows import Row, trained
from yanlm.tasks.definition import Task
from yanlm.tasks.heuristics import logistic, majority
from yanlm.tasks.making import check_fields, is_pair


def make_row(row: Row, seed: int) -> Row:
    """``{"text", "label"}``."""
    if is_pair(row):
        return {"text": row["source"], "label": row["target"]}
    check_fields(row, "classify", "classify")
    return trained(row)


def references(row: Mapping[str, Any]) -> list[str]:
    """The label."""
    return [row["label"].strip()]


def guesses(train_rows: Sequence[Mapping[str, Any]], test_rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The most frequent label, and logistic regression on TF-IDF weights."""
    return {
        "majority": majority([row["label"] for row in train_rows], len(test_rows)),
        "tfidf_logreg": logistic(train_rows, test_rows),
    }


TASK = Task(
    name="classify",
    kind="classify",
    make_row=make_row,
    references=references,
    metrics=("accuracy", "valid_labels"),
    main=("accuracy",),
    columns=("accuracy", "macro_f1", "valid_labels"),
    stops_on="accuracy",
    exact="accuracy",
    length_tells=True,
    closed=True,
    padded=True,
    guesses=guesses,
)
