"""Helpers for making the rows of a task: the text of a row, a mask in it, the fields of a question or label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanlm.data.rows import KINDS, DataError, Row, listed


def text_of(row: Mapping[str, Any], task: str) -> str:
    """The text of a row of data.

    Raises:
        DataError: It has none.
    """
    if "text" not in row:
        only = "; give --source-field alone" if "source" in row else ""
        raise _wrong_fields(row, task, ("text",), only)
    return str(row["text"])


def masked(text: str, start: int, end: int) -> Row:
    """A row whose source has ``<mask>`` in place of a piece of the text, which is the target.

    Example:
        >>> masked("Tom slept.", 4, 9)
        {'source': 'Tom <mask>.', 'target': 'slept'}
    """
    return {"source": f"{text[:start]}<mask>{text[end:]}", "target": text[start:end]}


def target_of(row: Mapping[str, Any]) -> list[str]:
    """The right answers of a row with a target: the target, or the targets of several masks joined by spaces.

    Example:
        >>> target_of({"source": "<mask> and <mask>", "target": ["salt ", "pepper"]})
        ['salt pepper']
    """
    target = row["target"]
    return [target.strip() if isinstance(target, str) else " ".join(part.strip() for part in target)]


def is_pair(row: Mapping[str, Any]) -> bool:
    """Whether a row of data is a source with one target."""
    return isinstance(row.get("source"), str) and isinstance(row.get("target"), str)


def check_fields(row: Mapping[str, Any], task: str, kind: str) -> None:
    """Raise ``DataError`` unless the row has all fields of a kind."""
    if not all(field in row for field in KINDS[kind]):
        raise _wrong_fields(row, task, KINDS[kind])


def _wrong_fields(row: Mapping[str, Any], task: str, wanted: tuple[str, ...], more: str = "") -> DataError:
    remedy = more or "; name them with --source-field and --target-field, or choose another task"
    return DataError(f"task {task} needs the fields {', '.join(wanted)}, the rows have {listed(row)}{remedy}")
