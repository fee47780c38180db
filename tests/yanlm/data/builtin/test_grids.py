"""Squares as rows of text."""

from __future__ import annotations

import itertools

import pytest

from yanlm.data.builtin.grids import GridPuzzle, completions
from yanlm.data.builtin.latin import Latin
from yanlm.data.builtin.squares import Rules
from yanlm.data.builtin.sudoku import Sudoku

RIGHT = ". 1 2 3 4 . 3 4 1 2 . 2 1 4 3 . 4 3 2 1 ."


@pytest.mark.parametrize("givens", [0.25, 0.5])
def test_the_share_of_givens(givens: float) -> None:
    rows = Latin(givens=givens).rows("train", 1000)
    assert sum(16 - len(row["target"]) for row in rows) / 16_000 == pytest.approx(givens, abs=0.02)
    assert len({len(row["target"]) for row in rows}) > 4


@pytest.mark.parametrize("task", [Latin(givens=0), Latin(givens=0.01), Latin(givens=1)])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_hardly_any_and_nearly_all_givens(task: GridPuzzle, split: str) -> None:
    rows = task.rows(split, 100)
    assert all(row["target"] for row in rows) and len({tuple(row["target"]) for row in rows}) > 3


def test_squares_are_even() -> None:
    rows = Latin(givens=0).rows("train", 5760)
    counts = [len(list(group)) for _, group in itertools.groupby(sorted(row["target"] for row in rows))]
    assert len(counts) == 576 and max(counts) < 30


def test_no_square_with_two_givens_is_in_two_splits() -> None:
    task = Latin(givens=0.15)
    sets = [{row["source"] for row in task.rows(split, 2000)} for split in ("train", "validation", "test")]
    for first, second in itertools.combinations(sets, 2):
        assert all(sum(map(bool, task.read(source) or ())) < 2 for source in first & second)


@pytest.mark.parametrize(
    "text",
    ["", RIGHT[1:], RIGHT[:-1], RIGHT.replace("1", "<mask>"), RIGHT.replace("4", "5"), RIGHT.replace("1 2", "12"),
     RIGHT.replace("3 4", "4 3"), RIGHT.replace(" .", "", 1), RIGHT + " .", RIGHT.replace("1", "\u00b9")],
)  # fmt: skip
def test_what_is_wrong(text: str) -> None:
    assert Sudoku().valid(RIGHT) and not Sudoku().valid(text)


def test_givens_have_to_stay() -> None:
    source, task = RIGHT.replace("1", "<mask>"), Latin()
    other = RIGHT.translate(str.maketrans("1234", "2134"))
    assert task.valid(other) and task.judge([source], [[RIGHT]])["valid"] == 1
    assert task.judge([source], [[other]])["valid"] == 0


def test_completions_are_counted() -> None:
    assert Latin().choices(Latin().source((1, 2, 3, 4) + (0,) * 12)) == (24,)
    with pytest.raises(ValueError, match=r"source must be one of builtin:latin that can be completed, got '\. 1 1"):
        Latin().choices(Latin().source((1, 1) + (0,) * 14))
    assert len(completions(Rules(9, boxes=True), (0,) * 81)) == 2000
