"""``infill``: masked spans of a text, which are drawn when it is evaluated."""

from __future__ import annotations

from yanlm.data.rows import Row
from yanlm.tasks.definition import Task
from yanlm.tasks.making import text_of


def make_row(row: Row, seed: int) -> Row:
    """``{"text"}``; a label is dropped."""
    return {"text": text_of(row, "infill")}


TASK = Task(
    name="infill",
    kind="text",
    make_row=make_row,
    references=None,
    metrics=(
        "masked_accuracy",
        "span_exact",
        "span_exact_3",
        "exact_match",
        "rouge1",
        "rougeL",
        "masked_rouge1",
        "masked_rougeL",
    ),
    main=("masked_accuracy", "span_exact", "exact_match"),
    columns=("masked_accuracy", "span_exact", "span_exact_3", "masked_rougeL", "rougeL"),
    stops_on="masked_accuracy",
    copying=True,
    from_texts=True,
)
