"""A task of one's own: the first word of a text."""

from __future__ import annotations

from typing import Any

from yanlm.data.rows import MASKS, Row
from yanlm.tasks.definition import Task
from yanlm.tasks.heuristics import majority
from yanlm.tasks.making import masked, target_of, text_of

TEXTS = [f"{word} cat sat on the mat ." for word in ("the", "old", "red", "small") * 10]


def first_word(row: Row, seed: int) -> Row | None:
    text = text_of(row, "first_word")
    return None if MASKS.search(text) else masked(text, 0, len(text.split()[0]))


def first_letter(prediction: str, references: list[str]) -> float:
    return float(any(prediction[:1] == reference[:1] for reference in references))


def own_task(**changes: Any) -> Task:
    values: dict[str, Any] = {
        "name": "first_word",
        "kind": "seq2seq",
        "make_row": first_word,
        "references": target_of,
        "metrics": ("masked_accuracy", "exact_match", "first_letter"),
        "main": ("exact_match",),
        "columns": ("exact_match", "first_letter"),
        "stops_on": "first_letter",
        "own_metrics": {"first_letter": first_letter},
        "left_out": "<mask> in the text",
        "guesses": lambda train, test: {"majority": majority([row["target"] for row in train], len(test))},
        "training": {"patience": 3},
    }
    return Task(**{**values, **changes})
