"""The form of a table: what library it is of, its names and dtypes, and a table like it from new columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

Values = NDArray[Any]
CATEGORICAL = "Categorical"


@dataclass(frozen=True)
class Form:
    """What a table looked like: its library, names, and dtype of every column.

    ``backend`` is the library, ``numpy`` for arrays, or ``dict``. ``labels`` are the columns' names where some of them
    are numbers, as in a data frame made from an array.
    """

    backend: str
    names: list[str]
    dtypes: list[str]
    labels: list[Any] | None = None

    def with_dtypes(self, columns: Sequence[Values]) -> Form:
        """The same, where columns of objects have the dtype of what they hold."""
        pairs = zip(self.dtypes, columns, strict=True)
        return replace(self, dtypes=[dtype_of(column) if dtype == "Object" else dtype for dtype, column in pairs])

    def build(self, columns: Sequence[Values]) -> Any:
        """A table of this form from columns: an array, or a data frame or dictionary with the names."""
        if self.backend == "dict":
            return dict(zip(self.names, columns, strict=True))
        if self.backend == "numpy":
            dtype = self.dtypes[0]
            array = np.empty((len(columns[0]), len(columns)), dtype)
            for place, values in enumerate(columns):
                array[:, place] = values
            return array
        import narwhals as nw

        backend: Any = self.backend
        series = [
            nw.new_series(name, values.tolist(), getattr(nw, dtype)(), backend=backend)
            for name, dtype, values in zip(self.names, self.dtypes, columns, strict=True)
        ]
        frame = nw.concat([one_column.to_frame() for one_column in series], how="horizontal").to_native()
        if self.labels is not None:  # a frame of pandas, or of a library like it
            from pandas import Index

            frame.columns = Index(self.labels)  # of tuples this makes levels
        return frame


def dtype_of(values: Values) -> str:
    """What narwhals calls the dtype of a column that was read.

    Example:
        >>> dtype_of(np.array([1, 2])), dtype_of(np.array(["a"], dtype=object))
        ('Int64', 'String')
    """
    if values.dtype.kind in "if":
        return "Int64" if values.dtype.kind == "i" else "Float64"
    return "Boolean" if all(isinstance(value, bool) for value in values) else "String"


def kept_labels(labels: Sequence[Any]) -> list[Any] | None:
    """Names of columns to give back, if integers or tuples (columns with levels) are among them; texts need no keeping.

    Example:
        >>> kept_labels([0, 1]), kept_labels(["a", "b"]), kept_labels([("a", 0), ("a", 1)])
        ([0, 1], None, [('a', 0), ('a', 1)])
    """
    if all(isinstance(label, str) for label in labels):
        return None
    kept = [_label(label) for label in labels]
    return None if None in kept else kept


def _label(label: Any) -> Any:
    """A name of texts and integers as Python's own; ``None`` for any other."""
    if isinstance(label, str | Integral):
        return label if isinstance(label, str) else int(label)
    parts = tuple(map(_label, label)) if isinstance(label, tuple) else (None,)
    return None if None in parts else parts


def unmasked(values: Any) -> Any:
    """A masked array of NumPy with missing values in place of what is masked, and anything else as it is.

    Example:
        >>> unmasked(np.ma.masked_array([1.0, 2.0], [False, True])), unmasked("text")
        (array([ 1., nan]), 'text')
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    if not np.ma.is_masked(values):
        return values.data
    objects = values.data.astype(object)
    objects[np.ma.getmaskarray(values)] = None
    return objects


def is_frame(table: Any) -> bool:
    """Whether this is a data frame of a library that narwhals knows.

    Example:
        >>> is_frame(np.zeros((3, 2)))
        False
    """
    if isinstance(table, np.ndarray | list | tuple):
        return False
    import narwhals as nw

    return bool(nw.dependencies.is_into_dataframe(table))


def is_mapping(table: Any) -> bool:
    """Whether this is a dictionary of columns; some sparse arrays are dictionaries, too.

    Example:
        >>> is_mapping({"age": [30, 31]})
        True
    """
    return isinstance(table, Mapping) and not issparse(table)
