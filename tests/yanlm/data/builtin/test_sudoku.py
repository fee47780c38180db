"""Sudokus of nine rows."""

from __future__ import annotations

import random

import pytest

from yanlm.data.builtin import sudoku
from yanlm.data.builtin.puzzle import completed
from yanlm.data.builtin.sudoku import Sudoku


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sudoku, "BASES", {"train": 3, "validation": 1, "test": 2})


@pytest.mark.parametrize(("givens", "least", "most"), [(0.45, 36, 36), (0.25, 20, 30)])
def test_each_has_one_solution(givens: float, least: int, most: int) -> None:
    task = Sudoku(size=9, givens=givens)
    for split in ("train", "test"):
        for row in task.rows(split, 10):
            assert least <= 81 - len(row["target"]) <= most
            assert task.choices(row["source"]) == task.chances(row["source"]) == (1,)
            assert task.draw(row["source"], random.Random(0)) == completed(row["source"], row["target"])


def test_rows_are_moved_about() -> None:
    task = Sudoku(size=9, givens=0.45)
    train, test = ({row["source"] for row in task.rows(split, 200)} for split in ("train", "test"))
    assert len(train) == len(test) == 200 and not train & test
    assert task.rows("train", 5) == task.rows("train", 9)[:5] != task.rows("train", 5, seed=1)


@pytest.mark.parametrize("givens", [0.0, 1.0])
def test_the_ends_of_givens(givens: float) -> None:
    for row in Sudoku(size=9, givens=givens).rows("validation", 3):
        assert (len(row["target"]) == 1) if givens else (len(row["target"]) > 50)
