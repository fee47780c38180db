"""The fields of a row: which task they belong to, and the text in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanlm.rows import KINDS

FIELDS = {"infill" if kind == "text" else kind: fields for kind, fields in KINDS.items()}
"""Tasks and the fields of their rows; the first whose fields are all there is the row's task."""


def task_of(row: Mapping[str, Any]) -> str:
    """Task that the fields of ``row`` belong to: ``"infill"``, ``"qa"``, ``"classify"`` or ``"seq2seq"``.

    Raises:
        ValueError: They belong to none.

    Example:
        >>> task_of({"text": "Oil prices fell.", "label": "Business"})
        'classify'
    """
    for task, fields in FIELDS.items():
        if all(field in row for field in fields):
            return task
    accepted = "; ".join(f"{', '.join(fields)} ({task})" for task, fields in FIELDS.items())
    given = ", ".join(map(str, row)) or "none"
    raise ValueError(f"a row must have the fields of a task: {accepted}; got {given}")


def field(row: Mapping[str, Any], name: str, empty: bool = False) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"field {name!r} must be text, got {type(value).__name__} {value!r:.60}")
    if not value and not empty:
        raise ValueError(f"field {name!r} is empty; leave the row out or give it text")
    return value


def words(row: Mapping[str, Any], name: str, empty: bool = False) -> str:
    """Field without the white space around it, which between the parts of a row is ours to set."""
    value = field(row, name, empty).strip()
    return field({name: value}, name, empty)
