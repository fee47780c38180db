"""Rows: plain dicts of strings, of one of four kinds by their fields.

``{"context", "question", "answer"}`` (qa), ``{"source", "target"}`` (seq2seq), ``{"text", "label"}`` (classify) or
``{"text"}`` (text).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = dict[str, str]
"""A training example: strings by the names of their fields."""

KINDS: dict[str, tuple[str, ...]] = {
    "qa": ("context", "question", "answer"),
    "seq2seq": ("source", "target"),
    "classify": ("text", "label"),
    "text": ("text",),
}
"""The fields of a row of each kind; the first kind whose fields are all there is what the row is."""

FORMS = "'text', 'text' and 'label', 'context', 'question' and 'answer', or 'source' and 'target'"
"""The kinds in words."""

_MAY_BE_BLANK = ("context",)  # a question may stand alone
_MAY_BE_NUMBERS = ("answer", "label")


class DataError(ValueError):
    """Data that cannot be used: one line that names the file or data set, the fault and the remedy."""


def kind_of(row: Mapping[str, str]) -> str:
    """The kind of a row by its fields.

    Raises:
        DataError: No kind has these fields.

    Example:
        >>> kind_of({"text": "Dull and long .", "label": "negative"})
        'classify'
    """
    for kind, fields in KINDS.items():
        if all(field in row for field in fields):
            return kind
    raise DataError(f"a row needs the fields {FORMS}; got {', '.join(map(repr, row)) or 'none'}")


def row_of(record: Any, text_column: str | None = None) -> Row:
    """The row that a record of a file or data set holds; fields of no use to its kind are left out.

    Args:
        record: A mapping from names to values.
        text_column: The name of the text's field where it is not ``text``.

    Raises:
        DataError: It is no mapping, or a field is missing, blank, of another type or not valid Unicode.

    Example:
        >>> row_of({"body": " Once upon a time. ", "url": "a"}, text_column="body")
        {'text': 'Once upon a time.'}
    """
    if not isinstance(record, Mapping):
        raise DataError(f"holds a {_json_type(record)}, not an object with named fields")
    if text_column is not None:
        if text_column not in record:
            raise DataError(f"has no field '{text_column}' (fields there: {listed(record)})")
        record = {"text": record[text_column], **({"label": record["label"]} if "label" in record else {})}
    for fields in KINDS.values():
        if all(field in record for field in fields):
            return {field: _field(field, record[field]) for field in fields}
    raise DataError(f"lacks the fields {FORMS} (fields there: {listed(record)})")


def outcome(record: Any, text_column: str | None = None) -> Row | DataError:
    """The row that a record holds, or why it holds none: :func:`row_of` without raising."""
    try:
        return row_of(record, text_column)
    except DataError as error:
        return error


def _field(name: str, value: Any) -> str:
    if name in _MAY_BE_NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f"field '{name}' is a {_json_type(value)}, not a string")
    text = value.strip()
    if not text and name not in _MAY_BE_BLANK:
        raise DataError(f"field '{name}' is blank")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which no tokenizer takes
            raise DataError(f"field '{name}' holds half of a surrogate pair (a broken \\u escape)") from None
    return text


def _json_type(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def listed(record: Iterable[Any]) -> str:
    """Names of fields for a message, each of at most 40 characters, the first twelve of them."""
    names = [name if len(name) <= 40 else f"{name[:37]}..." for name in map(str, record)]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"
