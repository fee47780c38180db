"""Reads the user's own points from .npy, .npz, .csv and .parquet files.

Every mistake in a file becomes one :class:`DataError` of one line, which names the file, the fault and the remedy.
Nothing is guessed silently and no pickle is ever loaded.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from moefm.reading import check_size
from moefm_toy.csv_points import read_csv
from moefm_toy.named_points import NamedPoints, Points, content_of, fail, load
from moefm_toy.parquet import parquet_table

NPZ_NAMES = ("points", "x", "X", "data")
"""The arrays looked for, in this order, in an .npz file that holds several."""


def read_points(path: str | os.PathLike[str]) -> Points:
    """Reads points, one per row, from a .npy, .npz, .csv or .parquet file.

    - `.npy`: an array of integers or floats, `(n, D)`, or `(n,)`, which is taken as n points of dimension 1.
    - `.npz`: the same; its only array, or the first one called `points`, `x`, `X` or `data`.
    - `.csv`: UTF-8, columns separated by tab, semicolon or comma (the first of these found in the first line), numbers
      with a decimal point, quoted or not. The first line is a header if each of its cells holds a letter and none is a
      number. Blank lines are skipped. Lines end at LF, CR LF and CR.
    - `.parquet`: numeric columns only; the row index that pandas may have stored is left out.

    Args:
        path: The file; its extension (in upper or lower case) says how it is read.

    Returns:
        Finite float64 numbers in the units of the file, `(n, D)` with n >= 1 and D >= 1.

    Raises:
        DataError: The file is missing, empty, a folder, corrupt, of another kind or larger than the cap
            (:func:`moefm.reading.max_bytes`), or it holds text, missing values, NaN, infinity, complex numbers, Python
            objects or an array that is not `(n, D)`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "points.csv"
        ...     _ = file.write_text("width,height\\n1,2.5\\n3,4e-1\\n")
        ...     read_points(file)
        array([[1. , 2.5],
               [3. , 0.4]])
    """
    return read_named(path).points


def read_named(path: str | os.PathLike[str]) -> NamedPoints:
    """Points as :func:`read_points` reads them, and the names that a csv header or parquet columns give them.

    Raises:
        DataError: See :func:`read_points`.
    """
    path = Path(path)
    with content_of(path, READERS) as content:
        values = READERS[path.suffix.lower()](path, content)
        named = values if isinstance(values, NamedPoints) else NamedPoints(values)
        return named._replace(points=_checked(path, named.points), integers=named.points.dtype.kind in "iu")


def _read_npy(path: Path, content: bytes) -> Any:
    array = load(path, lambda: np.load(io.BytesIO(content), allow_pickle=False))
    if not isinstance(array, np.ndarray):
        fail(path, "is an .npz archive by its content; rename it to .npz")
    return array


def _read_npz(path: Path, content: bytes) -> Any:
    archive = load(path, lambda: np.load(io.BytesIO(content), allow_pickle=False))
    if isinstance(archive, np.ndarray):
        fail(path, "is an .npy array by its content; rename it to .npy")
    names = list(archive.files)
    arrays = names if len(names) == 1 else [name for name in NPZ_NAMES if name in names]
    if not arrays:
        held = f"the arrays {', '.join(names)}" if names else "no array"
        fail(path, f"holds {held}; save one array, or call the points one of {', '.join(NPZ_NAMES)}")
    size = sum(info.file_size for info in archive.zip.infolist() if info.filename.removesuffix(".npy") == arrays[0])
    check_size(size, f"the array {arrays[0]} unpacks to")
    return load(path, lambda: archive[arrays[0]])


def _read_parquet(path: Path, content: bytes) -> NamedPoints:
    def fault(name: str, held: Any) -> str | None:
        from pyarrow import types

        number = types.is_integer(held) or types.is_floating(held)
        return None if number else f"column '{name}' is of type {held}, not a number; leave it out"

    table = parquet_table(path, content, fault)
    columns = [np.asarray(column.to_numpy(), dtype=np.float64) for column in table.columns]
    if not columns:
        fail(path, "holds no column; it needs one column per coordinate")
    return NamedPoints(np.stack(columns, axis=1), tuple(table.column_names))


READERS: dict[str, Callable[[Path, bytes], Any]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": read_csv,
    ".parquet": _read_parquet,
}


def _checked(path: Path, array: Any) -> Points:
    """The array as finite float64 `(n, D)`, or the reason why it cannot be one."""
    if array.dtype.kind not in "iuf":
        fail(path, f"holds values of type {array.dtype}; save them as integers or floats")
    check_size(8 * array.size, "unpacks to")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        fail(path, f"holds an array of shape {array.shape}; reshape it to (points, dimensions)")
    if 0 in array.shape:
        fail(path, f"holds no points (shape {array.shape}); it needs one point per row")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite, reported below
        points: Points = np.ascontiguousarray(array, dtype=np.float64)
    broken = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if broken.size:
        held = f"{broken.size} of {len(points)} rows hold NaN, infinity or a missing value"
        fail(path, f"{held}, the first is row {broken[0] + 1}; remove them")
    return points
