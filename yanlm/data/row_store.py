"""Rows of large files, in a temporary file that is mapped into memory: rows that nobody reads take no memory."""

from __future__ import annotations

import json
import mmap
import operator
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from yanlm.data.row_keys import KEY_BYTES, canonical, row_key
from yanlm.data.rows import Row, kind_of

LARGE = 64 * 2**20
"""Characters in a file's texts from which on its rows go into a store; below, a list is as good."""


class RowStore:
    """Rows, one behind the other; facts about all of them are noted as they come.

    Args:
        rows: The first ones.

    Attributes:
        kinds: Kinds of the rows.

    Raises:
        OSError: The folder for temporary files is full or cannot be written.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.kinds: set[str] = set()
        self._file = tempfile.TemporaryFile(prefix="yanlm-rows-", buffering=2**20)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._ends = array("q", [0])
        self._keys = bytearray()
        self._map: mmap.mmap | None = None
        for row in rows:
            self.append(row)

    def append(self, row: Row) -> None:
        """Keep a row."""
        kind = kind_of(row)
        self.kinds.add(kind)
        text = canonical(row) if row.keys() == {"text"} else json.dumps(row, ensure_ascii=False)
        content = text.encode()
        self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))
        self._keys += row_key(row)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def content(self, number: int) -> bytes:
        """The JSON of a row."""
        first, last = self._ends[number], self._ends[number + 1]
        if self._map is None or len(self._map) < last:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map[first:last]

    def keys(self, numbers: NDArray[np.int64]) -> bytes:
        """The :func:`yanlm.data.row_keys.row_key` of all rows, one behind the other."""
        return np.frombuffer(bytes(self._keys), np.uint8).reshape(-1, KEY_BYTES)[numbers].tobytes()

    def rows(self) -> StoredRows:
        """All of them."""
        return StoredRows(self, np.arange(len(self)))


class StoredRows(Sequence[Row]):
    """Some rows of a store, used like a list; each is decoded whenever it is asked for.

    Args:
        store: Holds them.
        numbers: Which, in this order.

    Example:
        >>> rows = RowStore({"text": letter} for letter in "abc").rows()
        >>> rows[0], list(rows[1:]), len(rows + rows[:1])
        ({'text': 'a'}, [{'text': 'b'}, {'text': 'c'}], 4)
    """

    def __init__(self, store: RowStore, numbers: NDArray[np.int64]) -> None:
        self.store, self.numbers = store, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> StoredRows: ...
    def __getitem__(self, place: int | slice) -> Row | StoredRows:
        if isinstance(place, slice):
            return StoredRows(self.store, self.numbers[place])
        row: Row = json.loads(self.store.content(self.numbers[operator.index(place)]).decode())
        return row

    def __add__(self, other: StoredRows) -> StoredRows:
        if other.store is not self.store:
            raise ValueError("rows of two stores cannot be put together: make lists of them")
        return StoredRows(self.store, np.concatenate([self.numbers, other.numbers]))

    def keys(self) -> bytes:
        """The :func:`yanlm.data.row_keys.row_key` of each, one behind the other."""
        return self.store.keys(self.numbers)


Rows = list[Row] | StoredRows
"""Rows in memory, or in a store."""


def picked(rows: Rows, places: NDArray[np.int64]) -> Rows:
    """The rows at these places, as the same kind of sequence."""
    if isinstance(rows, StoredRows):
        return StoredRows(rows.store, rows.numbers[places])
    return [rows[place] for place in places.tolist()]


def kinds_of(rows: Sequence[Row]) -> set[str]:
    """Kinds of rows; of those in a store, of all that are in it."""
    return rows.store.kinds if isinstance(rows, StoredRows) else {kind_of(row) for row in rows}


def digests(rows: Sequence[Row]) -> Iterable[bytes]:
    """The :func:`yanlm.data.row_keys.canonical` form of each row, encoded."""
    if isinstance(rows, StoredRows) and rows.store.kinds == {"text"}:  # they are stored so
        return map(rows.store.content, rows.numbers.tolist())
    return (canonical(row).encode() for row in rows)


def in_memory(rows: Sequence[Row]) -> list[Row]:
    """A list of rows."""
    return rows if isinstance(rows, list) else list(rows)
