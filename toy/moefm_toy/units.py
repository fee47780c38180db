"""Axes in the user's own units: names of columns, and ticks at round values of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from moefm.plain_text import printable
from moefm_toy.datasets import Dataset

LONGEST = 24


@dataclass(frozen=True)
class Column:
    """A coordinate of the data: its name, its value where the standardised one is 0, and its change per unit."""

    name: str
    shift: float = 0.0
    factor: float = 1.0

    def ticks(self, low: float, high: float, count: int = 4) -> tuple[list[float], list[str]]:
        """Places between two standardised coordinates where the column has round values, and these as texts.

        Example:
            >>> Column("height", 170.0, 10.0).ticks(-2.0, 2.0)
            ([-2.0, -1.0, 0.0, 1.0, 2.0], ['150', '160', '170', '180', '190'])
        """
        edges = self.shift + self.factor * low, self.shift + self.factor * high
        values = [v for v in MaxNLocator(count).tick_values(*edges) if edges[0] <= v <= edges[1]]
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        formatter.create_dummy_axis()
        formatter.axis.set_view_interval(*edges)  # type: ignore[union-attr]
        texts = formatter.format_ticks(values)
        if max(map(len, texts), default=0) > 9:
            texts = [f"{value:.4g}" for value in values]
        return [float((value - self.shift) / self.factor) for value in values], [t.replace("−", "-") for t in texts]

    def label(self, ax: Axes, axis: str) -> None:
        """Name and ticks along one axis, ``x`` or ``y``, between its present limits."""
        low, high = ax.get_xlim() if axis == "x" else ax.get_ylim()
        places, texts = self.ticks(low, high)
        (ax.set_xticks if axis == "x" else ax.set_yticks)(places, texts, fontsize=7.5)
        (ax.set_xlabel if axis == "x" else ax.set_ylabel)(self.name, fontsize=9, parse_math=False)


def columns_of(dataset: Dataset) -> list[Column]:
    """The columns of a data set, in their own units if each can be mapped back by itself.

    Example:
        >>> from moefm_toy.datasets import load_dataset
        >>> [column.name for column in columns_of(load_dataset("iris"))][:2], columns_of(load_dataset("moons"))
        (['sepal length (cm)', 'sepal width (cm)'], [])
    """
    names = [printable(name) for name in dataset.columns]
    names = [name if len(name) <= LONGEST else name[: LONGEST - 1] + "…" for name in names]
    shift, end = (dataset.inverse(torch.full((dataset.dim,), value)).tolist() for value in (0.0, 1.0))
    if len(shift) != len(names):  # grey levels of pixels, or places in the plane
        return [Column(name) for name in names]
    return [Column(name, a, b - a) for name, a, b in zip(names, shift, end, strict=True)]
