"""Rules of squares, and all ways to complete one."""

from __future__ import annotations

import itertools
import random

import pytest

from yanlm.data.builtin.squares import Cells, Rules

LATIN, SUDOKU, NINE = Rules(4, boxes=False), Rules(4, boxes=True), Rules(9, boxes=True)


def keeps(cells: Cells, size: int, edge: int | None) -> bool:
    """The rules said in another way: rows, columns and boxes are orders of all numbers."""
    lines = [cells[size * i : size * (i + 1)] for i in range(size)]
    parts = [*lines, *zip(*lines, strict=True)]
    if edge:
        for row, column in itertools.product(range(0, size, edge), repeat=2):
            parts.append(tuple(lines[row + i][column + j] for i in range(edge) for j in range(edge)))
    return all(sorted(part) == list(range(1, size + 1)) for part in parts)


@pytest.mark.parametrize(("rules", "count", "edge"), [(LATIN, 576, None), (SUDOKU, 288, 2)])
def test_all_squares(rules: Rules, count: int, edge: int | None) -> None:
    squares = list(rules.solutions((0,) * 16))
    assert len(squares) == len(set(squares)) == count
    assert all(keeps(square, 4, edge) and not rules.broken(square) for square in squares)


@pytest.mark.parametrize("rules", [LATIN, SUDOKU])
def test_completions_are_the_squares_that_keep_what_is_given(rules: Rules) -> None:
    squares = set(rules.solutions((0,) * 16))
    rng = random.Random(0)
    for square in rng.sample(sorted(squares), 40):
        cells = tuple(number * (rng.random() < 0.3) for number in square)
        wanted = {other for other in squares if all(given in (0, got) for given, got in zip(cells, other, strict=True))}
        assert set(rules.solutions(cells)) == wanted and square in wanted


def test_what_cannot_be_completed() -> None:
    assert list(LATIN.solutions((1, 1) + (0,) * 14)) == [] and LATIN.broken((1, 1) + (0,) * 14)
    stuck = (1, 2, 3, 0, 0, 0, 0, 4) + (0,) * 8  # the last cell of the first row has no number left
    assert not LATIN.broken(stuck) and list(LATIN.solutions(stuck)) == []
    assert SUDOKU.broken((1, 0, 0, 0, 0, 1) + (0,) * 10) and not LATIN.broken((1, 0, 0, 0, 0, 1) + (0,) * 10)


def test_nine_rows_in_random_order() -> None:
    first, second = (next(NINE.solutions((0,) * 81, random.Random(seed))) for seed in (0, 1))
    assert first != second and keeps(first, 9, 3) and keeps(second, 9, 3)
