"""A table as points that a flow can learn, and back: one coordinate for every column that varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moefm.sklearn.columns import Column, Constant, fit_named, from_config, to_config
from moefm.sklearn.forms import Form
from moefm.sklearn.tables import Table


@dataclass(frozen=True)
class Coordinates:
    """The columns of a table and the form that samples take.

    Example:
        >>> from moefm.sklearn.tables import read_table
        >>> table = read_table("X", np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> coordinates = Coordinates.fit(table, np.ones(2))
        >>> coordinates.encode(table, np.random.RandomState(0))
        tensor([[-1.],
                [ 1.]])
        >>> coordinates.decode(torch.tensor([[0.0]]))
        array([[2., 5.]])
    """

    form: Form
    columns: list[Column]

    @classmethod
    def fit(cls, table: Table, weight: NDArray[np.float64]) -> Self:
        """Measure every column; rows of weight 0 do not count.

        Raises:
            ValueError: No column varies, or one cannot be learned.
        """
        columns = [fit_named(*named, weight) for named in zip(table.form.names, table.columns, strict=True)]
        if all(isinstance(column, Constant) for column in columns):
            raise ValueError("X must have a column that varies, got the same row throughout: there is nothing to learn")
        return cls(table.form, columns)

    @property
    def varying(self) -> list[int]:
        """Columns that have a coordinate."""
        return [place for place, column in enumerate(self.columns) if not isinstance(column, Constant)]

    def encode(self, table: Table, random: np.random.RandomState | None = None) -> Tensor:
        """Points ``(N, D)``; without ``random`` integers and labels take the middle of their intervals."""
        coordinates = []
        for name, column, values in zip(self.form.names, self.columns, table.columns, strict=True):
            if not isinstance(column, Constant):
                coordinates.append(_named(name, lambda c=column, v=values: c.encode(v, random)))
        return torch.as_tensor(np.stack(coordinates, 1), dtype=torch.float32)

    def decode(self, points: Tensor) -> Any:
        """A table of the form that was fitted."""
        z = dict(zip(self.varying, points.double().cpu().numpy().T, strict=True))
        empty = np.zeros(len(points))
        return self.form.build([column.decode(z.get(place, empty)) for place, column in enumerate(self.columns)])

    def as_dictionary(self) -> Self:
        """The same with samples as a dictionary of columns, whatever the table was."""
        return replace(self, form=replace(self.form, backend="dict"))

    def log_scale(self, table: Table) -> NDArray[np.float64]:
        """What to add to the log-densities of points to express them in the units of the columns, ``(N,)``."""
        gains = [column.log_scale(values) for column, values in zip(self.columns, table.columns, strict=True)]
        return np.sum(gains, axis=0)

    @property
    def config(self) -> dict[str, Any]:
        """What :meth:`from_config` rebuilds them from."""
        form = self.form
        described = {"library": form.backend, "names": form.names, "dtypes": form.dtypes, "labels": form.labels}
        return {**described, "columns": to_config(self.columns)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuild coordinates from :attr:`config`."""
        labels = [tuple(label) if isinstance(label, list) else label for label in config.get("labels") or ()]
        form = Form(config["library"], config["names"], config["dtypes"], labels or None)
        return cls(form, from_config(config["columns"]))


def _named(name: str, encode: Any) -> Any:
    """The result of ``encode``; its errors name the column."""
    try:
        return encode()
    except ValueError as error:
        raise ValueError(f"column {name!r} {error}") from None


def same_columns(known: Sequence[str], table: Table) -> Table:
    """The table with its columns in the known order.

    Raises:
        ValueError: It has other columns.
    """
    names = table.form.names
    if sorted(names) != sorted(known):
        raise ValueError(f"cond must have the columns {', '.join(known)}, got {', '.join(names)}")
    order = [names.index(name) for name in known]
    form = Form(table.form.backend, list(known), [table.form.dtypes[place] for place in order])
    return Table(form, [table.columns[place] for place in order], table.rows)
