"""Tables in files: the columns of a .csv, .parquet, .npy or .npz file by their names, and columns written as csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moefm.plain_text import MISSING, separator
from moefm_toy.csv_points import UNCLOSED, csv_rows, csv_text
from moefm_toy.named_points import content_of, fail
from moefm_toy.parquet import parquet_table
from moefm_toy.readers import READERS, read_named

DIGITS = 7
"""Digits of a float that are written, if it does not vary less than it is large."""


def read_columns(path: Path) -> dict[str, Any]:
    """The columns of a file by their names: integers, floats, booleans or texts; None where a value is missing.

    A .csv file does not say what its columns hold, so their cells do (:func:`typed`). Other files say it.

    Raises:
        DataError: A ``ValueError`` for a file that cannot be read, is of another kind or holds no table.
    """
    if path.suffix.lower() in _READERS:
        with content_of(path, READERS) as content:
            return _READERS[path.suffix.lower()](path, content)
    named = read_named(path)
    points = named.points.astype(np.int64) if named.integers else named.points
    return {str(place): column for place, column in enumerate(points.T)}


def _parquet(path: Path, content: bytes) -> dict[str, Any]:
    table, columns = parquet_table(path, content, _fault), {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = column.to_pylist()
        columns[name] = np.array(values, dtype=object if None in values else None)
    return columns


def _fault(name: str, held: Any) -> str | None:
    """What is wrong with a column of this Arrow type."""
    from pyarrow import types

    held = held.value_type if types.is_dictionary(held) else held
    taken = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal,
             types.is_string, types.is_large_string, types.is_null)  # fmt: skip
    if any(is_kind(held) for is_kind in taken):
        return None
    from moefm.sklearn.tables import unfit

    return unfit(name, held)


def _csv(path: Path, content: bytes) -> dict[str, Any]:
    text = csv_text(path, content)
    rows = csv_rows(path, text, separator(text))
    for line, row, _ in rows:
        if any("\n" in cell.strip() for cell in row):
            fail(path, f"line {line}: {UNCLOSED}; leave the quotes out, and line ends within a cell")
    if len(rows) < 2:
        fail(path, "holds no rows; it needs a line of names and one row a line")
    names = [cell.strip() for cell in rows[0][1]]
    if "" in names or len(set(names)) < len(names):
        fail(path, f"the first line must name every column once, got {', '.join(names)}")
    if all(map(_is_number, names)) and not all(name.isdecimal() for name in names):
        fail(path, f"the first line must name the columns, got numbers: {', '.join(names[:5])}")
    for line, row, _ in rows[1:]:
        if len(row) != len(names):
            fail(path, f"line {line} has {len(row)} columns, {len(names)} expected")
    return {name: typed([row[place].strip() for _, row, _ in rows[1:]]) for place, name in enumerate(names)}


_READERS: dict[str, Callable[[Path, bytes], dict[str, Any]]] = {".csv": _csv, ".parquet": _parquet}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def typed(cells: Sequence[str]) -> Any:
    """A column from its cells: integers if all are, else floats if all are, else texts; None where one is missing.

    Example:
        >>> typed(["1", "", "NA"]).tolist(), typed(["1", "1_000"]).tolist()
        ([1, None, None], ['1', '1_000'])
    """
    values = [None if cell.lower() in MISSING | {""} else cell for cell in cells]
    for kind in (int, float):
        if any(value is not None and "_" in value for value in values):
            break  # Python would read 1_000 as a number
        try:
            parsed = [None if value is None else kind(value) for value in values]
        except ValueError:
            continue
        return np.array(parsed, dtype=object if None in parsed else None)
    return np.array(values, dtype=object)


def as_csv(columns: Mapping[str, Iterable[Any]]) -> str:
    """The text of a csv file with these columns.

    Example:
        >>> print(as_csv({"x": [0.1 + 0.2, -1.0], "word": ["a", "b"]}), end="")
        x,word
        0.3,a
        -1,b
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*map(_cells, columns.values()), strict=True))
    return text.getvalue()


def _cells(column: Iterable[Any]) -> list[Any]:
    """Floats with as many digits as tell apart what the column holds; other values as they are."""
    values = list(column)
    if not all(isinstance(value, float) for value in values):
        return values
    size, spread = float(np.abs(values).max(initial=0)), float(np.std(values))
    digits = DIGITS + max(0, math.floor(math.log10(size / spread))) if spread else 17
    return [float(f"{value:.{digits}g}") if digits > 15 else f"{value:.{digits}g}" for value in values]
