"""Conditions of rows: one label each, or vectors of numbers and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch import Tensor

from moefm.sklearn.columns import Category, Column, Constant, Integer, fit_named, from_config, to_config
from moefm.sklearn.coordinates import same_columns
from moefm.sklearn.forms import is_frame, unmasked
from moefm.sklearn.tables import DROP, LEAVE_OUT, Table, read_table

MOST_CLASSES = 50
"""Integers of a 1-D condition with more values than this are numbers, not labels."""


@dataclass(frozen=True)
class Conditions:
    """Encodes conditions: one column of labels as classes ``(N,)``, all else as vectors ``(N, C)``.

    In vectors, numbers are standardized and labels become one-hot.

    Example:
        >>> given = Conditions.fit(["a", "b", "a"], np.ones(3))
        >>> given.encode(["b", "a"]), given.classes
        (tensor([1, 0]), 2)
        >>> Conditions.fit(np.array([[1.0], [3.0]]), np.ones(2)).encode([[3.0]])
        tensor([[1.]])
    """

    names: list[str]
    columns: list[Column]
    labels: bool

    @classmethod
    def fit(cls, cond: Any, weight: NDArray[np.float64]) -> Self:
        """Measure the columns of a condition; rows of weight 0 do not count, and may lack values.

        Raises:
            ValueError: It has missing values, none of its columns varies, or it has not a row for every weight.
        """
        table, single = read_condition(cond, "drop")
        check_rows(table, len(weight))
        if (weight[~table.rows] > 0).any():
            read_condition(cond, remedy=DROP)  # says which
        weight = weight[table.rows]
        columns = [fit_named(*named, weight) for named in zip(table.form.names, table.columns, strict=True)]
        if all(isinstance(column, Constant) for column in columns):
            raise ValueError("cond must vary, got the same for all rows: leave it out")
        labels = len(columns) == 1 and isinstance(columns[0], Category)
        if single and isinstance(columns[0], Integer) and len(np.unique(table.columns[0])) <= MOST_CLASSES:
            labels, columns = True, [Category.fit(table.columns[0][weight > 0], weight[weight > 0])]
        return cls(table.form.names, columns, labels)

    @property
    def classes(self) -> int:
        """Number of labels; 0 if conditions are vectors."""
        column = self.columns[0]
        return len(column.levels) if self.labels and isinstance(column, Category) else 0

    def encode(self, cond: Any, kept: NDArray[np.bool_] | None = None) -> Tensor:
        """Labels ``(N,)`` or vectors ``(N, C)`` of all rows, or of those kept; a single label or number is one row.

        Raises:
            ValueError: The columns are others than in ``fit``, a value is missing, or a label was not seen.
        """
        table, single = read_condition(cond, "refuse" if kept is None else "drop")
        if single and len(self.names) > 1:
            raise ValueError(
                f"cond must have the columns {', '.join(self.names)}, got a single one: a row of them is [[...]]"
            )
        table = same_columns(self.names, table)
        values = table.columns if kept is None else [column[kept[table.rows]] for column in table.columns]
        parts = [_numbers(*named) for named in zip(self.names, self.columns, values, strict=True)]
        if self.labels:
            return parts[0].argmax(1)
        return torch.cat(parts, 1)

    def encode_for(self, cond: Any, count: int) -> Tensor:
        """Conditions of ``count`` rows; a single one is repeated for all."""
        encoded = self.encode(cond)
        if len(encoded) not in (1, count):
            raise ValueError(f"cond must have one row, or {count}, got {len(encoded)}")
        return encoded.expand(count, *encoded.shape[1:])

    @property
    def config(self) -> dict[str, Any]:
        """What :meth:`from_config` rebuilds them from."""
        return {"names": self.names, "columns": to_config(self.columns), "labels": self.labels}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuild conditions from :attr:`config`."""
        return cls(config["names"], from_config(config["columns"]), config["labels"])


def check_rows(table: Table, count: int) -> None:
    """Raise ``ValueError`` unless a condition has as many rows as X."""
    if len(table.rows) != count:
        raise ValueError(f"cond must have one row for each of the {count} rows of X, got {len(table.rows)}")


def complete_rows(cond: Any, count: int) -> NDArray[np.bool_]:
    """Which of the ``count`` rows of a condition lack no value.

    Example:
        >>> complete_rows([30.0, np.nan], 2)
        array([ True, False])
    """
    table, _ = read_condition(cond, "drop")
    check_rows(table, count)
    return table.rows


def read_condition(cond: Any, missing: str = "refuse", remedy: str = LEAVE_OUT) -> tuple[Table, bool]:
    """The table of a condition, and whether it is a single column without a name.

    A mapping from names to values, single ones or lists, is a table with these columns. ``missing`` and ``remedy`` are
    those of :func:`moefm.sklearn.tables.read_table`.
    """
    read = partial(read_table, "cond", missing=missing, remedy=remedy)
    if issparse(cond):
        raise TypeError("cond must not be sparse; give cond.toarray()")
    if isinstance(cond, Mapping):
        if not cond:
            raise ValueError("cond must have a column, got none: leave it out")
        columns = np.broadcast_arrays(
            *(np.atleast_1d(np.array(unmasked(value), dtype=object)) for value in cond.values())
        )
        return read(dict(zip(cond, columns, strict=True))), False
    if is_frame(cond):
        return read(cond), False
    array = np.atleast_1d(np.asarray(unmasked(cond)))
    if array.ndim > 2 or 0 in array.shape:
        raise ValueError(f"cond must be labels (N,), an array (N, C) or a data frame, got shape {array.shape}")
    return read(array[:, None] if array.ndim == 1 else array), array.ndim == 1


def _numbers(name: str, column: Column, values: NDArray[Any]) -> Tensor:
    """One column of a condition as numbers ``(N, width)``; a constant has none."""
    if isinstance(column, Constant):
        if (other := values[values != column.value]).size:
            raise ValueError(f"cond must be {column.value!r} in column {name!r}, as in fit, got {other[0]!r}")
        return torch.zeros(len(values), 0)
    if not isinstance(column, Category):
        if values.dtype.kind not in "if":
            raise ValueError(f"cond must hold numbers in column {name!r}, got {values[0]!r}")
        return torch.as_tensor(column.encode(values, None), dtype=torch.float32)[:, None]
    try:
        codes = column.codes(values)
    except ValueError as error:
        raise ValueError(f"cond {error}") from None
    return torch.nn.functional.one_hot(torch.as_tensor(codes), len(column.levels)).float()
