"""Records of the paper's data sets as rows, if their fields are not those of a row.

- sst2, stanfordnlp/sst2, glue:sst2: sentence, label, idx; a label of -1 is none, and the record is left out.
- dbpedia_14, fancyzhx/dbpedia_14: title, content, label.
- narrativeqa, deepmind/narrativeqa: document with its summary, question and answers, each with its text.
- babi_qa, facebook/babi_qa: story, a list of statements and questions; each question asks about what is before it.
  Its loading script is refused by ``datasets`` since version 4: use Muennighoff/babi.
- Muennighoff/babi: passage, question, answer, task.
- ROCStories: sentence1 to sentence5 (its own file), prompt and continuation (Ximing/ROCStories).
- SimpleStories/SimpleStories: story.
- SetFit's sets: text, label and label_text, the word for the label.

squad, ag_news, TinyStories and others whose fields have the names of row fields need no conversion. A record is
recognized by its fields, so copies of these sets under other names and in files are read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from yanlm.data.rows import KINDS, Columns, DataError, Row, json_type, row_of

Record = Mapping[str, Any]

_SENTENCES = tuple(f"sentence{n}" for n in range(1, 6))
_ASKED = (1, "1", "question")  # the type of a question in a story of babi_qa


def rows_of(record: Any, columns: Columns = None) -> list[Row]:
    """The rows that a record holds: one, as a rule.

    Args:
        record: A mapping from names to values.
        columns: As in :func:`yanlm.data.rows.row_of`; if given, nothing else is tried.

    Raises:
        DataError: It holds no row; see :func:`yanlm.data.rows.row_of`.

    Example:
        >>> rows_of({"sentence": "dull and long", "label": "negative", "idx": 3})
        [{'text': 'dull and long', 'label': 'negative'}]
    """
    if columns is None and isinstance(record, Mapping):
        if isinstance(record.get("label_text"), str) and "label" in record:
            record = {**record, "label": record["label_text"]}
        if not _is_row(record):
            for fields, convert in SHAPES.items():
                if all(field in record for field in fields):
                    return [row_of(converted) for converted in convert(record)]
    return [row_of(record, columns)]


def outcomes(record: Any, columns: Columns = None) -> list[Row | DataError]:
    """The rows that a record holds, or why it holds none: :func:`rows_of` without raising."""
    try:
        return [*rows_of(record, columns)]
    except DataError as error:
        return [error]


def known(names: Iterable[str]) -> bool:
    """Whether records with fields of these names hold rows.

    Example:
        >>> known(["storyid", *_SENTENCES]), known(["id", "body"])
        (True, False)
    """
    there = set(names)
    return _is_row(there) or any(there.issuperset(fields) for fields in SHAPES)


def _is_row(names: Iterable[str]) -> bool:
    there = set(names)
    return any(there.issuperset(fields) for fields in (*KINDS.values(), ("context", "question", "answers")))


def _sst2(record: Record) -> list[Row]:
    if record["label"] in (-1, "-1") and "idx" in record:
        return []
    return [{"text": record["sentence"], "label": record["label"]}]


def _dbpedia(record: Record) -> list[Row]:
    return [{"text": _joined([record["title"], record["content"]], ". "), "label": record["label"]}]


def _narrativeqa(record: Record) -> list[Row]:
    """The question on the summary; the whole book or script is not read."""
    summary = _inside(_inside(record["document"], "document", "summary"), "document.summary", "text")
    answers = _columns_or_list(record["answers"], "answers")
    return [
        {
            "context": _joined([summary]),
            "question": _inside(record["question"], "question", "text"),
            "answers": [answer.get("text") for answer in answers],
        }
    ]


def _passage(record: Record) -> list[Row]:
    renamed = {"context": _joined([record["passage"]]), **{name: record[name] for name in ("question", "answer")}}
    return [{**renamed, "task": record.get("task")}]


def _story(record: Record) -> list[Row]:
    """A text, or the questions of a story, each with the statements before it."""
    if isinstance(record["story"], str):
        return [{"text": record["story"]}]
    rows: list[Row] = []
    before: list[Any] = []
    for line in _columns_or_list(record["story"], "story"):
        if line.get("type") not in _ASKED and not line.get("answer"):
            before.append(line.get("text"))
            continue
        asked = {"context": _joined(before), "question": line.get("text"), "answer": line.get("answer")}
        rows.append({**asked, "task": record.get("task")})
    return rows


def _sentences(record: Record) -> list[Row]:
    return [{"text": _joined([record[name] for name in _SENTENCES])}]


def _continued(record: Record) -> list[Row]:
    return [{"text": _joined([record["prompt"], record["continuation"]])}]


SHAPES: dict[tuple[str, ...], Callable[[Record], list[Row]]] = {
    ("document", "question", "answers"): _narrativeqa,
    ("passage", "question", "answer"): _passage,
    ("title", "content", "label"): _dbpedia,
    _SENTENCES: _sentences,
    ("sentence", "label"): _sst2,
    ("prompt", "continuation"): _continued,
    ("story",): _story,
}
"""Fields by which a record is known, and what makes rows of it; the first shape whose fields are all there counts."""

_EXTRAS = {"answers", "task", "idx", "label_text"}
FIELDS = _EXTRAS.union(*KINDS.values(), *SHAPES)
"""All fields that are of use."""


def _inside(value: Any, name: str, field: str) -> Any:
    if not isinstance(value, Mapping) or field not in value:
        raise DataError(f"field '{name}' is no object with the field '{field}'")
    return value[field]


def _columns_or_list(value: Any, name: str) -> list[Mapping[str, Any]]:
    """A list of objects, which ``datasets`` also gives as an object of lists."""
    if isinstance(value, Mapping):
        columns = {key: list(column) for key, column in value.items() if isinstance(column, list | tuple)}
        length = min(map(len, columns.values()), default=0)
        return [{key: column[k] for key, column in columns.items()} for k in range(length)]
    if not isinstance(value, list | tuple) or not all(isinstance(entry, Mapping) for entry in value):
        raise DataError(f"field '{name}' is no list of objects")
    return list(value)


def _joined(parts: Iterable[Any], mark: str = " ") -> str:
    """The texts of parts with single spaces."""
    texts = []
    for part in parts:
        if not isinstance(part, str):
            raise DataError(f"holds a {json_type(part)} where text is expected")
        texts.append(" ".join(part.split()))
    return mark.join(text for text in texts if text)
