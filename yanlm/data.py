"""Corpora: what ``--data`` names, as rows for training, validation and test.

A spec is ``builtin:rooms``, ``builtin:pydoc``, a file, ``hf:NAME[:CONFIG][:SPLIT]`` (read as a stream) or ``paper``.
What exists as a path is read as a path. Several are mixed by their weights, written at the end: ``stories.txt@0.75``.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanlm import hub, pydoc_text, readers, rooms
from yanlm.rows import DataError, Row, kind_of
from yanlm.specs import weighted_specs
from yanlm.splits import completed, row_key, siblings

BUILTIN = ("rooms", "pydoc")
ROOMS = {"train": 20000, "validation": 500, "test": 1000}
"""How many worlds ``builtin:rooms`` has."""

STREAM_HELD = 200
"""The rows of a stream that validation and test take each, from its own splits or from its start."""

STREAM_LEAST = 2000
"""A stream of fewer rows is read into memory and split like a file."""

_SHOWN = 3  # faults of a file that a note spells out
Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """One part of a corpus: rows in memory, or a stream of records.

    Attributes:
        name: The spec it was read from.
        rows: The training rows, or None for a stream.
        stream: The ``IterableDataset`` to train on, or None.
        held: Keys of the rows of the stream that are kept apart (:func:`row_key`).
    """

    name: str
    rows: list[Row] | None
    validation: list[Row]
    test: list[Row]
    skipped: list[str] = field(default_factory=list, repr=False)
    stream: Any = None
    text_column: str | None = None
    held: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Corpus:
    """Rows to train on and rows kept apart, from one or several sources.

    Attributes:
        sources: The parts, each with its own rows or stream.
        weights: The share of the training rows drawn from each source; they sum to 1.
        kind: ``text``, ``qa``, ``classify``, ``seq2seq``, or ``mixed``.
        skipped: What could not be used, as ``file:line: reason``.
        fingerprint: SHA-256, as hexadecimal, of the rows and weights; of the specs where one is a stream.
    """

    name: str
    sources: tuple[Source, ...]
    weights: tuple[float, ...]
    validation: list[Row] = field(repr=False)
    test: list[Row] = field(repr=False)
    kind: str
    skipped: list[str] = field(repr=False)
    fingerprint: str

    @functools.cached_property
    def rows(self) -> list[Row] | None:
        """All training rows, or None if a source is a stream."""
        parts = [source.rows for source in self.sources if source.rows is not None]
        return list(itertools.chain.from_iterable(parts)) if len(parts) == len(self.sources) else None


def load_corpus(
    specs: str | Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    text_column: str | None = None,
    seed: int = 0,
    on_note: Say | None = None,
) -> Corpus:
    """Reads the corpus that one or several specs name.

    A file called ``train`` with files ``validation`` and ``test`` beside it brings its own held-out rows. From other
    files 5% each are kept, chosen by a hash of the text, so that equal texts (for questions: all questions on one
    context) stay together. Of a stream 200 each are kept.

    Args:
        specs: What to read; see the module.
        weights: The share of the training rows drawn from each spec; by default each row in memory counts the same, or,
            where one spec is a stream, each spec.
        text_column: The name of the text's field in files and data sets where it is not ``text``.
        seed: Which worlds ``builtin:rooms`` makes.
        on_note: Called with each line that the user should see.

    Raises:
        DataError: A spec cannot be read; one line with the fault and the remedy. A ``ValueError``.

    Example:
        >>> corpus = load_corpus("builtin:rooms")
        >>> corpus.kind, len(corpus.rows), len(corpus.validation), len(corpus.test)
        ('qa', 20000, 500, 1000)
    """
    texts = [specs] if isinstance(specs, str) else [str(spec) for spec in specs]
    if not texts:
        raise DataError("no data named; give a file, builtin:rooms, builtin:pydoc, hf:NAME or paper")
    say = on_note or (lambda note: None)
    parsed = weighted_specs(texts, weights)
    sources = [_read_source(text, text_column, seed, say) for text, _ in parsed]
    shares = _shares(sources, [weight for _, weight in parsed])
    if len(sources) > 1:
        say("rows are drawn from " + ", ".join(f"{s.name} {w:.3g}" for s, w in zip(sources, shares, strict=True)))
    validation = [row for source in sources for row in source.validation]
    test = [row for source in sources for row in source.test]
    kinds = {kind_of(row) for source in sources for row in source.rows or ()}
    kinds |= {kind_of(row) for row in itertools.chain(validation, test)}
    return Corpus(
        name=" + ".join(texts),
        sources=tuple(sources),
        weights=shares,
        validation=validation,
        test=test,
        kind=kinds.pop() if len(kinds) == 1 else "mixed",
        skipped=[fault for source in sources for fault in source.skipped],
        fingerprint=_fingerprint(sources, shares),
    )


def _shares(sources: list[Source], weights: list[float | None]) -> tuple[float, ...]:
    sizes = [len(source.rows) if source.rows is not None else 0 for source in sources]
    equal = [1.0 if 0 in sizes else float(size) for size in sizes]
    raw = [each if weight is None else weight for weight, each in zip(weights, equal, strict=True)]
    return tuple(weight / math.fsum(raw) for weight in raw)


def _read_source(text: str, text_column: str | None, seed: int, say: Say) -> Source:
    path = Path(os.path.expanduser(text))
    kind, _, name = text.partition(":")
    if os.path.exists(path):
        return _read_file(text, path, text_column, say)
    if kind == "builtin":
        return _read_builtin(text, name, seed)
    if kind == "hf":
        return _read_hub(text, text_column, say)
    if not readers.extension(path):
        raise DataError(f"{text}: no such file; give a file, builtin:rooms, builtin:pydoc, hf:NAME or paper")
    return _read_file(text, path, text_column, say)


def _read_builtin(text: str, name: str, seed: int) -> Source:
    if name == "rooms":
        made = {split: rooms.rooms_rows(split, n, seed) for split, n in ROOMS.items()}
    elif name == "pydoc":
        made = pydoc_text.pydoc_rows()
    else:
        raise DataError(f"{text}: no such built-in corpus; there are {' and '.join(f'builtin:{n}' for n in BUILTIN)}")
    return Source(text, made["train"], made["validation"], made["test"])


def _read_file(text: str, path: Path, text_column: str | None, say: Say) -> Source:
    table = _told(readers.read_rows(path, text_column), path, say)
    skipped = table.skipped
    found: dict[str, list[Row]] = {}
    known = set(map(_frozen, table.rows))
    for split, sibling in siblings(path).items():
        other = _told(readers.read_rows(sibling, text_column), sibling, say)
        found[split] = other.rows
        skipped = skipped + other.skipped
        say(f"{path}: {split} rows are those of {sibling.name} ({len(other.rows)})")
        if also := sum(row in known for row in map(_frozen, other.rows)):
            say(f"{sibling}: {also} of its {len(other.rows)} rows are training rows too")
    train, validation, test = completed(str(path), table.rows, found, say)
    return Source(text, train, validation, test, skipped)


def _frozen(row: Row) -> tuple[str, ...]:
    return tuple(row.values())


def _told(table: readers.Table, path: Path, say: Say) -> readers.Table:
    for note in table.notes:
        say(note)
    if table.skipped:
        shown = "; ".join(fault.removeprefix(f"{path}:") for fault in table.skipped[:_SHOWN])
        more = f"; and {len(table.skipped) - _SHOWN} more" if len(table.skipped) > _SHOWN else ""
        total = len(table.skipped) + len(table.rows)
        say(f"{path}: skipped {len(table.skipped)} of {total}, by line: {shown}{more}")
    return table


def _read_hub(text: str, text_column: str | None, say: Say) -> Source:
    data = hub.open_hub(text)
    first, ended = hub.first_rows(text, data.train, text_column, STREAM_LEAST)
    found = {split: hub.first_rows(text, part, text_column, STREAM_HELD)[0] for split, part in data.held.items()}
    if ended:
        train, validation, test = completed(text, first, found, say)
        return Source(text, train, validation, test)
    rows = iter(first)
    keys: set[bytes] = {row_key(row) for part in found.values() for row in part}
    for split in ("validation", "test"):
        if split not in found:
            found[split] = list(itertools.islice((row for row in rows if row_key(row) not in keys), STREAM_HELD))
            keys |= {row_key(row) for row in found[split]}
    kept = ", ".join(f"{len(found[split])} rows for {split}" for split in ("validation", "test"))
    say(f"{text}: a stream, read in its own order; kept {kept}")
    held = frozenset(keys)
    return Source(text, None, found["validation"], found["test"], [], data.train, text_column, held)


def _fingerprint(sources: Iterable[Source], weights: tuple[float, ...]) -> str:
    digest = hashlib.sha256(repr([round(weight, 9) for weight in weights]).encode())
    for source in sources:
        if source.rows is None:
            digest.update(repr((source.name, source.text_column)).encode())
        for rows in (source.rows or [], source.validation, source.test):
            digest.update(f"\n{len(rows)}\n".encode())
            for row in rows if source.rows is not None else ():
                digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode())
    return digest.hexdigest()
