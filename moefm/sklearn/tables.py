"""Tables in and out: NumPy arrays, data frames of any library that narwhals knows, and dictionaries of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moefm.sklearn.forms import CATEGORICAL, Form, is_frame, is_mapping, kept_labels, unmasked

Values = NDArray[Any]
MISSING = ("refuse", "drop")
LEAVE_OUT = "fill them in, or leave such rows out"
DROP = "fill them in, or give missing='drop' to leave such rows out"
MOST_INTEGER = 2**63 - 1
_PARSED = ("String", CATEGORICAL, "Enum", "Boolean")


@dataclass(frozen=True)
class Table:
    """Columns without missing values: float64, int64 or objects (labels), and the rows that were kept."""

    form: Form
    columns: list[Values]
    rows: NDArray[np.bool_]

    def where(self, wanted: NDArray[np.bool_]) -> Table:
        """The rows kept so far that are also ``wanted``, one boolean for every row that was read."""
        return Table(self.form, [values[wanted[self.rows]] for values in self.columns], self.rows & wanted)


def check_names(name: str, frame: Any) -> None:
    """Raise ``ValueError`` where two columns of a data frame have the same name."""
    labels = [
        str(label) for label in (frame.column_names if hasattr(frame, "column_names") else frame.columns)
    ]  # pyarrow, others
    twice = [label for place, label in enumerate(labels) if label in labels[:place]]
    if twice:
        raise ValueError(f"{name} must have a name of its own for every column, got {twice[0]!r} twice: rename one")


def read_table(name: str, table: Any, missing: str = "refuse", least: int = 1, remedy: str = LEAVE_OUT) -> Table:
    """Columns of a table, checked one by one.

    Args:
        name: The argument's name, for messages.
        table: A 2-D array, a data frame, or a dictionary of columns.
        missing: ``refuse`` missing values, or ``drop`` the rows that hold one.
        least: Smallest number of rows.
        remedy: What the message says to do about missing values.

    Raises:
        ValueError: There is no column, a value is missing or infinite, or a column is of a kind that no flow takes. The
            message names row and column.
        TypeError: A column holds objects other than numbers and labels.

    Example:
        >>> read_table("X", np.array([[1.0, 2.0], [np.nan, 3.0]]), "drop").columns
        [array([1.]), array([2.])]
    """
    if is_mapping(table):
        form, columns, absent = _from_mapping(table)
    else:
        form, columns, absent = _from_frame(table) if is_frame(table) else _from_array(table)
    if not columns:
        raise ValueError(f"{name} must have at least one column, got none")
    kept = ~np.any(absent, axis=0)
    if missing == "refuse" and not kept.all():
        row = int(np.flatnonzero(~kept)[0])
        column = form.names[int(np.flatnonzero([gone[row] for gone in absent])[0])]
        raise ValueError(
            f"{name} must have no missing values, got NaN in row {row}, column {column!r} ({int((~kept).sum())} rows "
            f"in all): {remedy}"
        )
    if kept.sum() < least:
        raise ValueError(f"{name} must have at least {least} rows without missing values, got {kept.sum()}")
    named = zip(form.names, form.dtypes, columns, strict=True)
    columns = [_typed(name, label, values[kept], dtype == CATEGORICAL) for label, dtype, values in named]
    return Table(form.with_dtypes(columns), columns, kept)


def _from_array(array: Values) -> tuple[Form, list[Values], list[NDArray[np.bool_]]]:
    columns = list(array.T)
    names = [str(place) for place in range(len(columns))]
    return Form("numpy", names, [str(array.dtype)] * len(columns)), columns, [_absent(values) for values in columns]


def _from_mapping(table: Mapping[Any, Any]) -> tuple[Form, list[Values], list[NDArray[np.bool_]]]:
    columns = [np.asarray(unmasked(values)) for values in table.values()]
    if columns and (len({values.shape for values in columns}) != 1 or columns[0].ndim != 1):
        raise ValueError(f"columns must be equally long, got {', '.join(str(len(np.atleast_1d(v))) for v in columns)}")
    form = Form("dict", [str(name) for name in table], [str(values.dtype) for values in columns])
    return form, columns, [_absent(values) for values in columns]


def _from_frame(frame: Any) -> tuple[Form, list[Values], list[NDArray[np.bool_]]]:
    import narwhals as nw

    check_names("a data frame", frame)
    narwhal = nw.from_native(frame, eager_only=True)
    names, columns, dtypes = [str(label) for label in narwhal.columns], [], []
    for label in narwhal.columns:
        series = narwhal.get_column(label)
        dtype = str(series.dtype).split("(")[0]
        if not (series.dtype.is_numeric() or dtype in (*_PARSED, "Object")):
            raise ValueError(unfit(str(label), series.dtype))
        dtypes.append({"Enum": "String", "Decimal": "Float64"}.get(dtype, dtype))
        columns.append(np.array(series.to_list(), dtype=object))
    form = Form(str(narwhal.implementation), names, dtypes, kept_labels(narwhal.columns))
    return form, columns, [_absent(values) for values in columns]


def unfit(label: str, dtype: Any) -> str:
    """What is said of a column whose type no flow takes."""
    return (
        f"column {label!r} is of type {dtype}, which no flow takes: leave it out, or turn it into a number (a date "
        "into days since another, for instance)"
    )


def _absent(values: Values) -> NDArray[np.bool_]:
    """Which values are missing: NaN, None or a library's NA."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), bool)
    return np.array([v is None or type(v).__name__ == "NAType" or (isinstance(v, float) and v != v) for v in values])


def _typed(name: str, label: str, values: Values, labels: bool) -> Values:
    """float64, int64, or objects that are all texts or all booleans; in ``labels`` also numbers as objects."""
    if values.dtype.kind == "O":
        values = _parsed(name, label, values, labels)
    if values.dtype.kind in "mMc":
        raise ValueError(unfit(label, values.dtype))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind in "Ub":
        return values.astype(object)
    if values.dtype.kind in "iu":
        if values.dtype.kind == "u" and len(values) and values.max() > MOST_INTEGER:
            raise ValueError(_too_large(name, label))
        return values.astype(np.int64)
    if values.dtype.kind != "f":
        return values
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(f"{name} must be finite, got infinity in row {bad[0]}, column {label!r}: remove or cap it")
    return values.astype(np.float64)


def _too_large(name: str, label: str) -> str:
    return f"{name} holds integers of more than 64 bits in column {label!r}: make them floating-point, or leave it out"


def _parsed(name: str, label: str, values: Values, labels: bool) -> Values:
    """Objects as a typed array, if they form one and are not ``labels``."""
    kinds = {
        "b" if isinstance(v, bool | np.bool_) else "i" if isinstance(v, int | np.integer)
        else "f" if isinstance(v, float | np.floating) or hasattr(v, "as_tuple") else "s" if isinstance(v, str) else "?"
        for v in values
    }  # fmt: skip
    if labels and len(kinds) == 1 and kinds != {"?"}:
        return values
    if kinds == {"i"} and any(abs(v) > MOST_INTEGER for v in values):
        raise ValueError(_too_large(name, label))
    if kinds <= {"i", "f"}:
        return values.astype(np.int64 if kinds == {"i"} else np.float64)
    if kinds == {"b"}:
        return values.astype(bool)
    if kinds == {"s"}:
        return values
    raise TypeError(
        f"{name} holds objects in column {label!r}: an argument must be a string or a number throughout a column, got "
        f"{', '.join(sorted({type(v).__name__ for v in values}))}"
    )
