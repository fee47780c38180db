"""One part of a corpus: what a single spec names, read into memory or opened as a stream."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanlm.data import hub, readers
from yanlm.data.builtin import pydoc_text, rooms
from yanlm.data.builtin.puzzles import PUZZLES, puzzle
from yanlm.data.row_keys import canonical, row_key
from yanlm.data.row_store import Rows, in_memory
from yanlm.data.rows import Columns, DataError, Row
from yanlm.data.splits import completed, siblings

BUILTIN = ("pydoc", "rooms", *PUZZLES)
ROOMS = {"train": 20000, "validation": 500, "test": 1000}
"""How many rows built-in tasks have."""

STREAM_HELD = 200
"""The rows of a stream that validation and test take each, from its own splits or from its start."""

SHUFFLED = 2000
"""The rows of a stream that are read and put in random order together."""

STREAM_LEAST = 2000
"""A stream of fewer rows is read into memory and split like a file."""

WHOLE_MOST = 1_000_000
"""Largest number of rows of each split of a data set that are read into memory."""

_SHOWN = 3  # faults of a file that a note spells out
Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """One part of a corpus: rows in memory, or a stream of records.

    Attributes:
        name: The spec it was read from.
        rows: The training rows, or None for a stream; of a large file a sequence that reads each when it is asked for.
        stream: The ``IterableDataset`` to train on, or None.
        columns: How the records of the stream name their fields.
        held: Keys of the rows of the stream that are kept apart (:func:`yanlm.data.splits.row_key`).
    """

    name: str
    rows: Rows | None
    validation: list[Row]
    test: list[Row]
    skipped: list[str] = field(default_factory=list, repr=False)
    stream: Any = None
    columns: Columns = None
    held: frozenset[bytes] = frozenset()


def read_source(text: str, columns: Columns, seed: int, say: Say, whole: bool = False) -> Source:
    """Reads what one spec names.

    Args:
        text: The spec, without a weight. What exists as a path is read as a path.
        columns: How files and data sets name their fields.
        seed: Which worlds the built-in ones make.
        say: Called with each line that the user should see.
        whole: Read a data set of the hub into memory, however long it is (up to ``WHOLE_MOST`` rows a split).

    Raises:
        DataError: It cannot be read; one line with the fault and the remedy.

    Example:
        >>> len(read_source("builtin:rooms", None, 0, print).test)
        1000
    """
    path = Path(os.path.expanduser(text))
    kind, _, name = text.partition(":")
    if os.path.exists(path):
        return _read_file(text, path, columns, say)
    if kind == "builtin":
        return _read_builtin(text, *name.partition(":")[::2], seed)
    if kind == "hf":
        return _read_hub(text, columns, say, whole)
    if not readers.extension(path):
        raise DataError(f"{text}: no such file; give a file, builtin:rooms, builtin:pydoc, hf:NAME or paper")
    return _read_file(text, path, columns, say)


def _read_builtin(text: str, name: str, settings: str, seed: int) -> Source:
    if name in PUZZLES:
        task = puzzle(text)
        sizes = ROOMS | ({"train": task.train} if task.train else {})
        splits = {split: task.rows(split, n, seed) for split, n in sizes.items()}
    elif name not in BUILTIN:
        raise DataError(f"{text}: no such built-in corpus; there are {', '.join(f'builtin:{n}' for n in BUILTIN)}")
    elif settings:
        raise DataError(f"{text}: builtin:{name} takes no settings; write builtin:{name}")
    elif name == "rooms":
        splits = {split: rooms.rooms_rows(split, n, seed) for split, n in ROOMS.items()}
    else:
        splits = pydoc_text.pydoc_rows()
    return Source(text, splits["train"], splits["validation"], splits["test"])


def _read_file(text: str, path: Path, columns: Columns, say: Say) -> Source:
    table = _told(readers.read_rows(path, columns), path, say)
    skipped = table.skipped
    held_out: dict[str, list[Row]] = {}
    beside = siblings(path)
    known = set(map(canonical, table.rows)) if beside else set()
    for split, sibling in beside.items():
        other = _told(readers.read_rows(sibling, columns), sibling, say)
        held_out[split] = in_memory(other.rows)
        skipped = skipped + other.skipped
        say(f"{path}: {split} rows are those of {sibling.name} ({len(other.rows)})")
        if also := sum(row in known for row in map(canonical, other.rows)):
            say(f"{sibling}: {also} of its {len(other.rows)} rows are training rows too")
    train, validation, test = completed(str(path), table.rows, held_out, say)
    return Source(text, train, validation, test, skipped)


def _told(table: readers.Table, path: Path, say: Say) -> readers.Table:
    for note in table.notes:
        say(note)
    if table.skipped:
        shown = "; ".join(fault.removeprefix(f"{path}:") for fault in table.skipped[:_SHOWN])
        more = f"; and {len(table.skipped) - _SHOWN} more" if len(table.skipped) > _SHOWN else ""
        total = len(table.skipped) + len(table.rows)
        say(f"{path}: skipped {len(table.skipped)} of {total}, by line: {shown}{more}")
    return table


def _read_hub(text: str, columns: Columns, say: Say, whole: bool) -> Source:
    data = hub.open_hub(text)
    most, most_held = (WHOLE_MOST, WHOLE_MOST) if whole else (STREAM_LEAST, STREAM_HELD)
    first, ended = _first_rows(text, "train", data.train, columns, most, say if whole else None)
    if not first:
        raise DataError(f"{text}: no record of its training split has a label; choose another split")
    held_out = {
        split: _first_rows(text, split, part, columns, most_held, say if whole else None)[0]
        for split, part in data.held.items()
    }
    if not held_out.get("test", first) and held_out.get("validation"):  # as of GLUE, whose test labels are secret
        held_out["test"] = held_out.pop("validation")
        say(f"{text}: its test split has no labels; its validation split serves as test")
    held_out = {split: rows for split, rows in held_out.items() if rows}
    if ended or whole:
        train, validation, test = completed(text, first, held_out, say)
        return Source(text, train, validation, test)
    rows = iter(first)
    keys: set[bytes] = {row_key(row) for part in held_out.values() for row in part}
    for split in ("validation", "test"):
        if split not in held_out:
            held_out[split] = list(itertools.islice((row for row in rows if row_key(row) not in keys), STREAM_HELD))
            keys |= {row_key(row) for row in held_out[split]}
    kept = ", ".join(f"{len(held_out[split])} rows for {split}" for split in ("validation", "test"))
    say(f"{text}: a stream, shuffled {SHUFFLED:,} rows at a time; kept {kept}")
    held = frozenset(keys)
    return Source(text, None, held_out["validation"], held_out["test"], [], data.train, columns, held)


def _first_rows(
    text: str, split: str, stream: Any, columns: Columns, most: int, say: Say | None
) -> tuple[list[Row], bool]:
    """The first rows of a split, and whether these are all; if not, ``say`` is called."""
    rows, ended = hub.first_rows(text, stream, columns, most)
    if not ended and say is not None:
        say(f"{text}: the {split} split is longer than {most:,} rows; the first {most:,} are used")
    return rows, ended
