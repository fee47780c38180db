"""Rows: plain dicts of strings, of one of four kinds by their fields.

``{"context", "question", "answer"}`` (qa), ``{"source", "target"}`` (seq2seq), ``{"text", "label"}`` (classify) or
``{"text"}`` (text). A question may also carry ``answers``, the list of all right answers, and ``task``, its kind of
question; both serve evaluation alone, and training never sees them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from yanlm.files import printable

Row = dict[str, Any]
"""A training example: strings by the names of their fields, and lists of strings where there are several."""

Columns = str | tuple[str, str] | None
"""Other names of fields in records: that of the text, or those of source and target."""

KINDS: dict[str, tuple[str, ...]] = {
    "qa": ("context", "question", "answer"),
    "seq2seq": ("source", "target"),
    "classify": ("text", "label"),
    "text": ("text",),
}
"""The fields of a row of each kind; the first kind whose fields are all there is what the row is."""

_NEEDED = {kind: frozenset(fields) for kind, fields in KINDS.items()}

FORMS = "'text', 'text' and 'label', 'context', 'question' and 'answer', or 'source' and 'target'"
"""The kinds in words."""

BESIDE_TEXT, BESIDE_SOURCE = "label", "question"
"""Fields that are read beside a text and beside source and target, if these have other names."""
_MAY_BE_BLANK = ("context",)  # a question may stand alone
MAY_BE_NUMBERS = ("answer", "answers", "label", "target")
"""Fields that take numbers and booleans as well as strings."""


class DataError(ValueError):
    """Data that cannot be used: one line that names the file or data set, the fault and the remedy.

    What the data holds is quoted with escape sequences for characters that a terminal would obey.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable_line(message))


def printable_line(text: str) -> str:
    """A text for a message: its white space as single spaces, what a terminal would obey spelled out.

    Example:
        >>> printable_line("in \\x1b[31mred\\n")
        'in \\\\x1b[31mred'
    """
    return printable(" ".join(text.split()))


def kind_of(row: Mapping[str, Any]) -> str:
    """The kind of a row by its fields.

    Raises:
        DataError: No kind has these fields.

    Example:
        >>> kind_of({"text": "Dull and long .", "label": "negative"})
        'classify'
    """
    names = row.keys()
    for kind, fields in _NEEDED.items():
        if fields <= names:
            return kind
    raise DataError(f"a row needs the fields {FORMS}; got {', '.join(map(str, row)) or 'none'}")


def trained(row: Mapping[str, Any]) -> Row:
    """The fields of a row that are trained on, without what serves its evaluation.

    Example:
        >>> trained({"context": "", "question": "1 + 1?", "answer": "2", "answers": ["2", "two"]})
        {'context': '', 'question': '1 + 1?', 'answer': '2'}
    """
    return {field: row[field] for field in KINDS[kind_of(row)]}


def words_of(row: Mapping[str, Any]) -> str:
    """All the text of a row that is trained on, in one string.

    Example:
        >>> words_of({"source": "<mask> is in the <mask> .", "target": ["Peter", "bathroom"]})
        '<mask> is in the <mask> . Peter bathroom'
    """
    return " ".join(" ".join(value) if isinstance(value, list) else str(value) for value in trained(row).values())


def row_of(record: Any, columns: Columns = None) -> Row:
    """The row that a record of a file or data set holds; fields of no use to its kind are left out.

    Args:
        record: A mapping from names to values. A question's ``answers`` are a list, or a mapping with the list
            ``text`` as in SQuAD; the first of them is its ``answer`` where that is missing.
        columns: The name of the text's field where it is not ``text``, or the names of source and target, which keep a
            ``question`` beside them: they may be its context and answer.

    Raises:
        DataError: It is no mapping, or a field is missing, blank, NaN or infinity, of another type or no valid Unicode,
            or a source has several masks for its target.

    Example:
        >>> row_of({"body": " Once upon a time. ", "url": "a"}, "body")
        {'text': 'Once upon a time.'}
        >>> row_of({"review": "Dull and long .", "stars": 1.0}, ("review", "stars"))
        {'source': 'Dull and long .', 'target': '1'}
    """
    if not isinstance(record, Mapping):
        raise DataError(f"holds a {json_type(record)}, not an object with named fields")
    called = {"text": columns} if isinstance(columns, str) else dict(zip(KINDS["seq2seq"], columns or (), strict=False))
    for name in called.values():
        if name not in record:
            raise DataError(f"has no field '{name}' (fields there: {listed(record)})")
    if called:
        beside = BESIDE_TEXT if isinstance(columns, str) else BESIDE_SOURCE
        own = {beside: record[beside]} if beside in record and beside not in called.values() else {}
        record = {field: record[name] for field, name in called.items()} | own
    for kind, fields in KINDS.items():
        if kind == "qa" and "answers" in record and all(field in record for field in fields[:-1]):
            return _with_answers(record)
        if all(field in record for field in fields):
            row = {field: _field(field, record[field], called.get(field)) for field in fields}
            if (masks := len(MASKS.findall(row.get("source", "")))) > 1:
                raise DataError(f"field '{called.get('source', 'source')}' holds {masks} masks, and a target fills one")
            return row | _beside(kind, record)
    raise DataError(f"lacks the fields {FORMS} (fields there: {listed(record)})")


def columns_wanted(columns: Columns) -> str:
    """What the user can do if columns are missing: those that were named, or those of a row."""
    if columns is None:
        return "name that of the text with --text-column, or those of a task with --source-field and --target-field"
    if isinstance(columns, tuple):
        return "correct --source-field and --target-field"
    return "correct --text-column or --source-field"


def _with_answers(record: Mapping[str, Any]) -> Row:
    """A question with all of its right answers, the one to train on first."""
    given = record["answers"]
    given = given.get("text") if isinstance(given, Mapping) else given
    answers = []
    if isinstance(given, list | tuple):
        answers = [_field("answers", answer) for answer in given if not isinstance(answer, str) or answer.strip()]
    elif record.get("answer") is None:
        raise DataError(f"field 'answers' is a {json_type(given)}, not a list")
    if record.get("answer") is not None:
        answers.insert(0, _field("answer", record["answer"]))
    if not answers:
        raise DataError("field 'answers' holds no answer")
    row = {field: _field(field, record[field]) for field in ("context", "question")}
    listed_answers = {"answers": list(dict.fromkeys(answers))} if isinstance(given, list | tuple) else {}
    return {**row, "answer": answers[0], **listed_answers, **_task(record)}


def _beside(kind: str, record: Mapping[str, Any]) -> Row:
    """What a row has beside the fields of its kind."""
    if kind == "seq2seq" and isinstance(asked := record.get(BESIDE_SOURCE), str) and asked.strip():
        return {BESIDE_SOURCE: _field(BESIDE_SOURCE, asked)}
    return _task(record) if kind == "qa" else {}


def _task(record: Mapping[str, Any]) -> Row:
    task = record.get("task")
    if isinstance(task, Real) and not isinstance(task, bool) and not _is_missing(task):
        task = _number(task)
    return {"task": task.strip()} if isinstance(task, str) and task.strip() else {}


def _field(name: str, value: Any, called: str | None = None) -> str:
    """The text of a field, which messages name as the data does."""
    named = f"field '{called or name}'"
    if isinstance(value, Real) and _is_missing(value):
        raise DataError(f"{named} is missing ({float(value)})")
    if isinstance(value, Real) and name in MAY_BE_NUMBERS:
        value = _number(value)
    if not isinstance(value, str):
        raise DataError(f"{named} is a {json_type(value)}, not a string")
    text = value.strip()
    if not text and name not in _MAY_BE_BLANK:
        raise DataError(f"{named} is blank")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which no tokenizer takes
            raise DataError(f"{named} holds half of a surrogate pair (a broken \\u escape)") from None
    return text


def _is_missing(value: Real) -> bool:
    """Whether a value is NaN or infinity, which pandas and Python's JSON write for missing ones."""
    return value != value or value in (math.inf, -math.inf)


def _number(value: Real) -> str:
    """A boolean or number as JSON writes it; a whole one without a point, for one gap turns integers into floats.

    Example:
        >>> _number(1.0), _number(2.5), _number(True)
        ('1', '2.5', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, Integral) and float(value).is_integer() and abs(float(value)) < 2**53:
        return str(int(float(value)))
    return str(value)


def json_type(value: Any) -> str:
    """What JSON calls a value, for a message."""
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def listed(record: Iterable[Any]) -> str:
    """Names of fields for a message, each of at most 40 characters, the first twelve of them."""
    names = [printable_line(str(name)) for name in record]
    names = [name if len(name) <= 40 else f"{name[:37]}..." for name in names]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"


def field(row: Mapping[str, Any], name: str, empty: bool = False) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"field {name!r} must be text, got {type(value).__name__} {value!r:.60}")
    if not value and not empty:
        raise ValueError(f"field {name!r} is empty; leave the row out or give it text")
    return value


def words(row: Mapping[str, Any], name: str, empty: bool = False) -> str:
    """A field without the white space around it; we set the space between the parts of a row."""
    value = field(row, name, empty).strip()
    return field({name: value}, name, empty)


MASKS = re.compile(r"<mask>|<\|mask\|>")
"""How users write a mask in a text."""
