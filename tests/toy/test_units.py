"""Axes in the units of the data."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from moefm_toy.datasets import load_dataset
from moefm_toy.units import LONGEST, Column, columns_of


def test_ticks_stand_where_the_column_has_round_values() -> None:
    column = Column("x", shift=3.3, factor=0.25)
    places, texts = column.ticks(-2.0, 2.0)
    assert [3.3 + 0.25 * place for place in places] == pytest.approx([float(text) for text in texts])
    assert all(-2 <= place <= 2 for place in places) and len(places) >= 3


@pytest.mark.parametrize(
    ("shift", "factor", "texts"),
    [
        (5e8, 2.0, ["499999998", "500000000", "500000002"]),
        (0.0, 1e-7, ["-1e-07", "0", "1e-07"]),
        (-2e12, 1e12, ["-3e+12", "-2e+12", "-1e+12"]),
    ],
)
def test_ticks_of_large_and_small_numbers(shift: float, factor: float, texts: list[str]) -> None:
    assert Column("x", shift, factor).ticks(-1.0, 1.0, count=2)[1] == texts


def test_columns_of_a_file(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal([170, 3], [10, 0.5], (50, 2))
    np.savetxt(tmp_path / "p.csv", rows, delimiter=",", header="height (cm),$x_$" + "y" * 40, comments="")
    dataset = load_dataset(tmp_path / "p.csv")
    first, second = columns_of(dataset)
    assert first.name == "height (cm)" and second.name == "$x_$" + "y" * (LONGEST - 5) + "…"
    assert first.shift == pytest.approx(rows[:, 0].mean(), abs=5) and first.factor == pytest.approx(10, rel=0.3)
    ax = Figure().subplots()
    ax.set_xlim(-1, 1)
    first.label(ax, "x")
    second.label(ax, "y")
    assert (ax.get_xlabel(), ax.get_ylabel()) == (first.name, second.name)
    ax.figure.canvas.draw()  # the name of a column is no formula


def test_columns_without_names_or_units(tmp_path: Path) -> None:
    assert columns_of(load_dataset("moons")) == []
    assert columns_of(load_dataset("digits", dim=2)) == [Column("component 1"), Column("component 2")]
    np.save(tmp_path / "p.npy", np.random.default_rng(0).normal(5, 2, (50, 3)))
    assert [c.name for c in columns_of(load_dataset(tmp_path / "p.npy"))] == ["column 1", "column 2", "column 3"]
