"""Rows of data as a task needs them, and a corpus all of whose splits hold such rows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

from yanlm.data.corpus import Corpus, corpus_of, read_sources
from yanlm.data.rows import DataError, Row, kind_of, listed, printable_line, words_of
from yanlm.data.sources import Source
from yanlm.tasks.task import Task, get_task


def task_rows(rows: Sequence[Row], task: str | Task, *, seed: int = 0) -> list[Row]:
    """Rows as a task needs them. They depend only on each row and the seed.

    - ``infill``: ``{"text"}``; spans are masked later.
    - ``sentence``: ``{"source", "target"}``, a sentence drawn from those between the first and the last, and the text
      with ``<mask>`` in its place. Texts of fewer than three sentences are left out.
    - ``completion``: the same with the last word; punctuation after it stays in the source. Texts of fewer than two
      words are left out.
    - ``qa``: ``{"context", "question", "answer"}``, and ``answers`` and ``task`` where a row has them.
    - ``classify``: ``{"text", "label"}``.

    Rows with ``source`` and ``target`` serve ``qa`` as context and answer, and ``classify`` as text and label; of
    questions ``infill``, ``sentence`` and ``completion`` take the contexts, each once (:func:`documents`).

    Args:
        rows: As :func:`yanlm.data.corpus.load_corpus` gives them.
        task: One of :data:`yanlm.tasks.task.TASKS`, or a task of your own.
        seed: Seed of the sentence to draw.

    Raises:
        DataError: No such task, rows without its fields, or no row that serves it.

    Example:
        >>> task_rows([{"text": "It rained. Tom slept. He woke."}], "sentence")
        [{'source': 'It rained. <mask> He woke.', 'target': 'Tom slept.'}]
        >>> task_rows([{"text": "It rained. Tom slept."}], "completion")
        [{'source': 'It rained. Tom <mask>.', 'target': 'slept'}]
    """
    task = get_task(task)
    kept, unfit = _made(documents(rows) if task.from_texts else rows, task, seed)
    if unfit:
        raise unfit[0][1]
    return _checked(kept, len(rows), task)


def _made(rows: Sequence[Row], task: Task, seed: int) -> tuple[list[Row], list[tuple[Row, DataError]]]:
    """Rows as a task needs them, and those that do not serve it, each with the error."""
    kept, unfit = list[Row](), list[tuple[Row, DataError]]()
    for row in rows:
        try:
            formed = task.make_row(row, seed)
        except DataError as error:
            unfit.append((row, error))
        else:
            kept += [] if formed is None else [formed]
    return kept, unfit


def _checked(kept: list[Row], given: int, task: Task) -> list[Row]:
    """Rows of a task, made from so many.

    Raises:
        DataError: There is none, or one is of another kind than the task says.
    """
    if not given:
        raise DataError(f"task {task.name} needs at least one row; there is none")
    if not kept:
        raise DataError(f"task {task.name} leaves out all {given} rows ({task.left_out}); give other texts")
    for row in kept:
        if kind_of(row) != task.kind:
            raise DataError(
                f"task {task.name} makes rows of the kind {kind_of(row)} ({listed(row)}), and its kind is {task.kind}; "
                "correct its make_row or its kind"
            )
    return kept


def documents(rows: Sequence[Row]) -> list[Row]:
    """Rows as texts: the contexts of questions, each once however many questions ask about it; others as they are.

    Example:
        >>> asked = [{"context": "Tom slept.", "question": q, "answer": "Tom"} for q in ("Who slept?", "Who?")]
        >>> documents([*asked, {"text": "He woke."}])
        [{'text': 'Tom slept.'}, {'text': 'He woke.'}]
    """
    contexts: set[str] = set()
    texts = []
    for row in rows:
        if kind_of(row) == "qa":
            if row["context"] and row["context"] not in contexts:
                contexts.add(row["context"])
                texts.append({"text": row["context"]})
        else:
            texts.append(row)
    return texts


def load_task(
    specs: str | Sequence[str],
    task: str | Task,
    *,
    weights: Sequence[float] | None = None,
    source_field: str | None = None,
    target_field: str | None = None,
    text_column: str | None = None,
    seed: int = 0,
    on_note: Callable[[str], None] | None = None,
) -> Corpus:
    """Reads a corpus into memory (:func:`yanlm.data.corpus.load_corpus`) and makes every split the rows of a task.

    Rows without the fields of the task are left out, with a note, if most rows have them.

    Args:
        specs: What to read; see :mod:`yanlm.data.corpus`.
        task: One of :data:`yanlm.tasks.task.TASKS`, or a task of your own.
        weights: The share of the training rows drawn from each spec.
        source_field: The field of the text, or of the context or the text to classify, if it has another name.
        target_field: The field of the answer or label that goes with it.
        text_column: The field of the text; the same as ``source_field`` alone.
        seed: Seed of built-in corpora and of the sentences to draw.
        on_note: Called with each line that the user should see.

    Raises:
        DataError: A spec cannot be read, most of its rows do not serve the task, or most labels of the test rows are in
            no training row.

    Example:
        >>> corpus = load_task("builtin:pydoc", "completion")
        >>> corpus.kind, sorted(corpus.test[0])
        ('seq2seq', ['source', 'target'])
    """
    task = get_task(task)
    say = on_note or (lambda note: None)
    name, sources, shares = read_sources(
        specs,
        weights=weights,
        text_column=text_column,
        source_field=source_field,
        target_field=target_field,
        seed=seed,
        whole=True,
        on_note=on_note,
    )
    corpus = corpus_of(name, [_served(source, task, seed, say) for source in sources], shares)
    if task.closed:
        _check_labels(corpus, task.written, say)
    return corpus


def _served(source: Source, task: Task, seed: int, say: Callable[[str], None]) -> Source:
    """A source with the rows of a task."""
    given = {"training": source.rows or [], "validation": source.validation, "test": source.test}
    texts = {split: documents(rows) if task.from_texts else rows for split, rows in given.items()}
    parts = {split: _made(rows, task, seed) for split, rows in texts.items()}
    unfit = [(split, row, error) for split, (_, wrong) in parts.items() for row, error in wrong]
    if unfit:
        split, row, error = unfit[0]
        total = sum(map(len, texts.values()))
        if 2 * len(unfit) > total:
            raise DataError(f"{source.name}, {split} rows: {error}")
        why, first = str(error).partition(";")[0], words_of(row)[:40]
        say(printable_line(f"{source.name}: {len(unfit)} of {total} rows left out: {why}; the first begins {first!r}"))
    splits = []
    for split, (kept, wrong) in parts.items():
        fit = len(texts[split]) - len(wrong)
        try:
            splits.append(_checked(kept, fit, task))
        except DataError as error:
            raise DataError(f"{source.name}, {split} rows: {error}") from None
        if len(texts[split]) < len(given[split]):
            counts = f"of {len(given[split])} {split} rows the contexts, each once, are the {len(texts[split])} texts"
            say(f"{source.name}: {counts}")
        if out := fit - len(kept):
            say(f"{source.name}: {out} of {fit} {split} rows left out ({task.left_out})")
    train, validation, test = splits
    return dataclasses.replace(source, rows=train, validation=validation, test=test)


def _check_labels(corpus: Corpus, field: str, say: Callable[[str], None]) -> None:
    """Labels that training never shows cannot be learned."""
    known = {row[field] for row in corpus.rows or ()}
    for split, rows in {"validation": corpus.validation, "test": corpus.test}.items():
        counts = Counter(row[field] for row in rows)
        unseen = sorted(set(counts) - known)
        if not unseen:
            continue
        named = f"{len(unseen)} of {len(counts)} labels of the {split} rows are in no training row ({listed(unseen)})"
        if split == "test" and 2 * len(unseen) > len(counts):
            raise DataError(f"{corpus.name}: {named}; correct the labels or the splits")
        say(f"{corpus.name}: {named}: {sum(counts[label] for label in unseen)} rows")
