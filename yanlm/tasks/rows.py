"""Rows for the tasks of the paper: infilling, a whole sentence, the last word, answers and labels (section 5)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from yanlm.data.corpus import Corpus, corpus_of, load_corpus
from yanlm.data.rows import KINDS, MASKS, DataError, Row, listed, trained
from yanlm.tasks.sentences import last_word_span, sentence_spans

TASKS = ("infill", "sentence", "completion", "qa", "classify")
"""Masked spans of a text, a whole sentence inside it, its last word, the answer to a question, the label of a text."""

_WANTED = {"qa": KINDS["qa"], "classify": KINDS["classify"]}
_LEFT_OUT = {
    "sentence": "fewer than three sentences, or <mask> in the text",
    "completion": "fewer than two words, or <mask> in the text",
}


def task_rows(rows: Sequence[Row], task: str, *, seed: int = 0) -> list[Row]:
    """Rows as a task needs them; a function of each row and the seed alone.

    - ``infill``: ``{"text"}``; spans are masked later.
    - ``sentence``: ``{"source", "target"}``, a sentence drawn from those between the first and the last, and the text
      with ``<mask>`` in its place. Texts of fewer than three sentences are left out.
    - ``completion``: the same with the last word; punctuation after it stays in the source. Texts of fewer than two
      words are left out.
    - ``qa``: ``{"context", "question", "answer"}``, and ``answers`` and ``task`` where a row has them.
    - ``classify``: ``{"text", "label"}``.

    Rows with ``source`` and ``target`` serve ``qa`` as context and answer, and ``classify`` as text and label.

    Args:
        rows: As :func:`yanlm.data.corpus.load_corpus` gives them.
        task: One of :data:`TASKS`.
        seed: Of the sentence drawn.

    Raises:
        DataError: No such task, rows without its fields, or no row that serves it.

    Example:
        >>> task_rows([{"text": "It rained. Tom slept. He woke."}], "sentence")
        [{'source': 'It rained. <mask> He woke.', 'target': 'Tom slept.'}]
        >>> task_rows([{"text": "It rained. Tom slept."}], "completion")
        [{'source': 'It rained. Tom <mask>.', 'target': 'slept'}]
    """
    check_task(task)
    if not rows:
        raise DataError(f"task {task} needs at least one row; there is none")
    made = [one for row in rows if (one := _MAKERS[task](row, seed)) is not None]
    if not made:
        raise DataError(f"task {task} leaves out all {len(rows)} rows ({_LEFT_OUT[task]}); give other texts")
    return made


def check_task(task: str) -> str:
    """The task, if there is one of this name.

    Raises:
        DataError: There is none.
    """
    if task not in TASKS:
        raise DataError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    return task


def load_task(
    specs: str | Sequence[str],
    task: str,
    *,
    weights: Sequence[float] | None = None,
    source_field: str | None = None,
    target_field: str | None = None,
    text_column: str | None = None,
    seed: int = 0,
    on_note: Callable[[str], None] | None = None,
) -> Corpus:
    """Reads a corpus into memory (:func:`yanlm.data.corpus.load_corpus`) and makes every split the rows of a task.

    Args:
        specs: What to read; see :mod:`yanlm.data.corpus`.
        task: One of :data:`TASKS`.
        weights: The share of the training rows drawn from each spec.
        source_field: The field of the text, or of the context or the text to classify, where it has another name.
        target_field: The field of the answer or label that goes with it.
        text_column: The field of the text; the same as ``source_field`` alone.
        seed: Of built-in corpora and of the sentences drawn.
        on_note: Called with each line that the user should see.

    Raises:
        DataError: A spec cannot be read, its rows do not serve the task, or most labels of the test rows are in no
            training row.

    Example:
        >>> corpus = load_task("builtin:pydoc", "completion")
        >>> corpus.kind, sorted(corpus.test[0])
        ('seq2seq', ['source', 'target'])
    """
    check_task(task)
    say = on_note or (lambda note: None)
    corpus = load_corpus(
        specs,
        weights=weights,
        text_column=text_column,
        source_field=source_field,
        target_field=target_field,
        seed=seed,
        whole=True,
        on_note=on_note,
    )
    sources = []
    for source in corpus.sources:
        given = {"training": source.rows or [], "validation": source.validation, "test": source.test}
        made = []
        for split, rows in given.items():
            try:
                made.append(task_rows(rows, task, seed=seed))
            except DataError as error:
                raise DataError(f"{source.name}, {split} rows: {error}") from None
            if out := len(rows) - len(made[-1]):
                say(f"{source.name}: {out} of {len(rows)} {split} rows left out ({_LEFT_OUT[task]})")
        train, validation, test = made
        sources.append(dataclasses.replace(source, rows=train, validation=validation, test=test))
    found = corpus_of(corpus.name, sources, corpus.weights)
    if task == "classify":
        _check_labels(found, say)
    return found


def _check_labels(corpus: Corpus, say: Callable[[str], None]) -> None:
    """Labels that training never shows cannot be learned."""
    known = {row["label"] for row in corpus.rows or ()}
    for split, rows in {"validation": corpus.validation, "test": corpus.test}.items():
        counts = Counter(row["label"] for row in rows)
        unseen = sorted(set(counts) - known)
        if not unseen:
            continue
        named = f"{len(unseen)} of {len(counts)} labels of the {split} rows are in no training row ({listed(unseen)})"
        if split == "test" and 2 * len(unseen) > len(counts):
            raise DataError(f"{corpus.name}: {named}; correct the labels or the splits")
        say(f"{corpus.name}: {named}: {sum(counts[label] for label in unseen)} rows")


def _infill(row: Row, seed: int) -> Row:
    return {"text": _text(row, "infill")}


def _sentence(row: Row, seed: int) -> Row | None:
    text = _text(row, "sentence")
    inner = sentence_spans(text)[1:-1]
    if not inner or MASKS.search(text):
        return None
    draw = hashlib.blake2b(f"{seed}\n{text}".encode(), digest_size=8).digest()
    return _masked(text, *inner[int.from_bytes(draw, "big") % len(inner)])


def _completion(row: Row, seed: int) -> Row | None:
    text = _text(row, "completion")
    span = last_word_span(text)
    if span is None or MASKS.search(text) or last_word_span(text[: span[0]]) is None:
        return None
    return _masked(text, *span)


def _masked(text: str, start: int, end: int) -> Row:
    return {"source": f"{text[:start]}<mask>{text[end:]}", "target": text[start:end]}


def _text(row: Mapping[str, Any], task: str) -> str:
    if "text" not in row:
        only = "; give --source-field alone" if "source" in row else ""
        raise _wrong_fields(row, task, "text", only)
    return str(row["text"])


def _asked(row: Row, seed: int) -> Row:
    if _is_pair(row):
        return {"context": row["source"], "question": "", "answer": row["target"]}
    return _as_it_is(row, "qa")


def _labelled(row: Row, seed: int) -> Row:
    return {"text": row["source"], "label": row["target"]} if _is_pair(row) else _as_it_is(row, "classify")


def _is_pair(row: Row) -> bool:
    return isinstance(row.get("source"), str) and isinstance(row.get("target"), str)


def _as_it_is(row: Row, task: str) -> Row:
    if not all(field in row for field in _WANTED[task]):
        raise _wrong_fields(row, task, ", ".join(_WANTED[task]))
    return dict(row) if task == "qa" else trained(row)


def _wrong_fields(row: Mapping[str, Any], task: str, wanted: str, more: str = "") -> DataError:
    remedy = more or "; name them with --source-field and --target-field, or choose another task"
    return DataError(f"task {task} needs the fields {wanted}, the rows have {listed(row)}{remedy}")


_MAKERS: dict[str, Callable[[Row, int], Row | None]] = {
    "infill": _infill,
    "sentence": _sentence,
    "completion": _completion,
    "qa": _asked,
    "classify": _labelled,
}
