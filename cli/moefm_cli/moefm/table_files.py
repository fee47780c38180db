"""Tables in files: the columns of a .csv, .parquet, .npy or .npz file by their names, and columns written as csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moefm.installation import install
from moefm.plain_text import MISSING, separator
from moefm.reading import read_bytes
from moefm_cli.common import UsageError
from moefm_toy.csv_points import UNCLOSED, csv_rows
from moefm_toy.readers import INDEX, read_named

DIGITS = 7
"""Digits of a float that are written, if it does not vary less than it is large."""


def read_columns(path: Path) -> dict[str, Any]:
    """The columns of a file by their names: integers, floats, booleans or texts; None where a value is missing.

    A .csv file does not say what its columns hold, so their cells do (:func:`typed`). Other files say it.

    Raises:
        UsageError: The file is of another kind, or its content is no table.
        DataError: A ``ValueError`` for a file that cannot be read.
    """
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        named = read_named(path)
        points = named.points.astype(np.int64) if named.integers else named.points
        return {str(place): column for place, column in enumerate(points.T)}
    if not path.is_file():
        raise UsageError(f"{path} is not a file; check the path")
    if kind == ".parquet":
        return _parquet(path, read_bytes(path))
    if kind != ".csv":
        raise UsageError(f"{path} has the extension {kind!r}; accepted are .csv, .parquet, .npy and .npz")
    return _csv(path, read_bytes(path))


def _parquet(path: Path, content: bytes) -> dict[str, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(f"{path} needs pyarrow to be read; {install('parquet')}") from None
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is damaged or not a .parquet file ({error}); save it again") from None
    names = [name for name in table.column_names if not INDEX.fullmatch(name)]  # not the row index of pandas
    if len(set(names)) < len(names):
        raise UsageError(f"{path} has several columns of one name; give each its own")
    columns = {}
    for name in names:
        column = table[name]
        held = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        taken = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal,
                 pa.types.is_string, pa.types.is_large_string, pa.types.is_null)  # fmt: skip
        if not any(is_kind(held) for is_kind in taken):
            from moefm.sklearn.tables import unfit

            raise UsageError(f"{path}: {unfit(name, held)}")
        values = column.to_pylist()
        columns[name] = np.array(values, dtype=object if None in values else None)
    return columns


def _csv(path: Path, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'") from None
    rows = csv_rows(path, text, separator(text))
    for line, row, _ in rows:
        if any("\n" in cell.strip() for cell in row):
            raise UsageError(f"{path}: line {line}: {UNCLOSED}; leave the quotes out, and line ends within a cell")
    if len(rows) < 2:
        raise UsageError(f"{path} holds no rows; it needs a line of names and one row a line")
    names = [cell.strip() for cell in rows[0][1]]
    if "" in names or len(set(names)) < len(names):
        raise UsageError(f"{path}: the first line must name every column once, got {', '.join(names)}")
    if all(map(_is_number, names)) and not all(name.isdecimal() for name in names):
        raise UsageError(f"{path}: the first line must name the columns, got numbers: {', '.join(names[:5])}")
    for line, row, _ in rows[1:]:
        if len(row) != len(names):
            raise UsageError(f"{path}: line {line} has {len(row)} columns, {len(names)} expected")
    return {name: typed([row[place].strip() for _, row, _ in rows[1:]]) for place, name in enumerate(names)}


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
