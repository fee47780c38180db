"""Latin squares."""

from __future__ import annotations

from yanlm.data.builtin.latin import Latin
from yanlm.data.builtin.sudoku import Sudoku


def test_boxes_do_not_matter() -> None:
    text = ". 1 2 3 4 . 2 1 4 3 . 3 4 1 2 . 4 3 2 1 ."
    assert Latin().valid(text) and not Sudoku().valid(text)


def test_the_bound_of_an_empty_square() -> None:
    assert Latin(givens=0).bound == 576 / 4**16 and Sudoku(givens=0).bound == 288 / 4**16
