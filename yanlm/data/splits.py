"""Held-out rows: files next to a training file, or some of its own rows, chosen by a hash of their text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yanlm.data.readers import extension
from yanlm.data.row_keys import KEY_BYTES, canonical, row_key, text_hash
from yanlm.data.row_store import Rows, StoredRows, in_memory, picked
from yanlm.data.rows import DataError, Row

HELD_SHARE = 0.05
"""The share of rows for validation, and for test, if a file brings none of its own."""

_SIBLINGS = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
SPLIT_NAMES = ("train", *_SIBLINGS["validation"], *_SIBLINGS["test"])
"""What files with the splits of a set are called."""


def siblings(path: Path) -> dict[str, Path]:
    """The files ``validation`` and ``test`` next to one called ``train``, if they exist.

    Example:
        >>> siblings(Path("no/such/train.jsonl"))
        {}
    """
    ending = path.name[-len(extension(path)) :]
    if path.name.lower() != f"train{ending.lower()}":
        return {}
    held_out = {}
    for split, names in _SIBLINGS.items():
        files = (path.with_name(name + ending) for name in names)
        if first := next(filter(Path.is_file, files), None):
            held_out[split] = first
    return held_out


def training_file(path: Path) -> tuple[Path, str] | None:
    """The file called ``train`` of which ``path`` is a held-out part, and which part; None if it is not.

    Example:
        >>> training_file(Path("no/such/test.jsonl"))
    """
    ending = path.name[-len(extension(path)) :]
    train = path.with_name(f"train{ending}")
    parts = [split for split, file in siblings(train).items() if file == path and train.is_file()]
    return (train, parts[0]) if parts else None


def completed(
    name: str, rows: Rows, held_out: dict[str, list[Row]], say: Callable[[str], None]
) -> tuple[Rows, list[Row], list[Row]]:
    """Rows for training, validation and test: held-out rows as given, missing ones taken from the training rows."""
    if len(held_out) == 2:
        return rows, held_out["validation"], held_out["test"]
    train, *kept_apart = split_rows(name, rows)
    for split, part in zip(("test", "validation"), reversed(kept_apart), strict=True):
        if split in held_out:
            train = train + part  # type: ignore[operator]  # both are lists, or of one store
    validation, test = (
        held_out.get(split, in_memory(part)) for split, part in zip(("validation", "test"), kept_apart, strict=True)
    )
    kept = {"validation": len(validation), "test": len(test)}
    parts = ", ".join(f"{kept[split]} rows for {split}" for split in kept if split not in held_out)
    say(f"{name}: kept {parts}, by a hash of their text")
    return train, validation, test


def split_rows(name: str, rows: Rows) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test rows by a hash of the text: 90, 5 and 5%, each with at least one row.

    Raises:
        DataError: There are fewer than three different rows.

    Example:
        >>> [len(part) for part in split_rows("letters", [{"text": letter} for letter in "abcdefghij"])]
        [7, 2, 1]
    """
    keys = rows.keys() if isinstance(rows, StoredRows) else b"".join(map(row_key, rows))
    order, distinct = _ranked(keys)
    if distinct.size < 3:  # few contexts with many questions
        order, distinct = _ranked(b"".join(text_hash(canonical(row)) for row in rows))
    if distinct.size < 3:
        few = f"holds {distinct.size} different row{'s' if distinct.size > 1 else ''}"
        need = "training, validation and test need one each: give at least 3 (.txt: with blank lines between them)"
        raise DataError(f"{name}: {few}; {need}")
    test, both = (int((distinct < share).sum()) for share in (HELD_SHARE, 2 * HELD_SHARE))
    most = distinct.size // 3  # of a handful of rows, chance could take all
    first = min(max(test, 1), most)
    second = min(max(both, first + 1), first + most)
    parts = (order >= second, (first <= order) & (order < second), order < first)
    train, validation, tests = (picked(rows, np.flatnonzero(part)) for part in parts)
    return train, validation, tests


def _ranked(keys: bytes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rank of each row's key among the different ones, and where these lie in [0, 1), in order."""
    high, low = np.frombuffer(keys, ">u8").reshape(-1, KEY_BYTES // 8).T.astype(np.uint64)
    by_key = np.lexsort((low, high))
    new = np.ones(len(high), bool)
    new[1:] = (np.diff(high[by_key]) != 0) | (np.diff(low[by_key]) != 0)
    ranks = np.empty(len(high), np.int64)
    ranks[by_key] = np.cumsum(new) - 1
    return ranks, high[by_key][new] / 2.0**64
