"""Sudoku of four or nine rows: each number once in every row, column and box.

Those of nine rows have one solution each. They are made from a few by permuting numbers, rows and columns.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from yanlm.data.builtin.drawing import check_drawn
from yanlm.data.builtin.grids import GridPuzzle
from yanlm.data.builtin.setting import setting
from yanlm.data.builtin.squares import Cells, Rules

BASES = {"train": 40, "validation": 5, "test": 10}
"""From how many sudokus of nine rows those of each split are made."""


@dataclass(frozen=True, kw_only=True)
class Sudoku(GridPuzzle):
    """The 288 sudokus of four rows, or sudokus of nine rows that have one solution.

    With nine rows, cells are emptied until the share of ``givens`` is reached, as long as the solution stays unique: at
    .25 this leaves about 24. The factorized bound is then 1, because every cell follows from the source.

    Attributes:
        size: How many rows.

    Example:
        >>> Sudoku().valid(". 1 2 3 4 . 3 4 1 2 . 2 1 4 3 . 4 3 2 1 .")
        True
    """

    name: ClassVar[str] = "sudoku"
    boxes: ClassVar[bool] = True

    size: int = setting(4, (4, 9))

    @property
    def rules(self) -> Rules:
        return Rules(self.size, self.boxes)

    def rows(self, split: str = "train", n: int = 20000, seed: int = 0) -> list[dict[str, Any]]:
        if self.size == 4:
            return super().rows(split, n, seed)
        check_drawn(split, n)
        draw = random.Random(f"sudoku 9 {split} {seed}")
        bases = _bases(split, seed, self.givens)
        return [self.row(*_moved(draw.choice(bases), draw)) for _ in range(n)]


@lru_cache(maxsize=8)
def _bases(split: str, seed: int, givens: float) -> list[tuple[Cells, Cells]]:
    """Sudokus of nine rows with one solution each: given cells, and the complete square."""
    rules = Rules(9, boxes=True)
    draw = random.Random(f"sudoku 9 bases {split} {seed}")
    bases = []
    for _ in range(BASES[split]):
        square = next(rules.solutions((0,) * 81, draw))
        cells = list(square)
        left = 81
        for cell in draw.sample(range(81), 81):
            if left <= max(1, givens * 81) and left < 81:
                break
            cells[cell] = 0
            if len(list(itertools.islice(rules.solutions(tuple(cells)), 2))) == 1:
                left -= 1
            else:
                cells[cell] = square[cell]
        bases.append((tuple(cells), square))
    return bases


def _moved(base: tuple[Cells, Cells], draw: random.Random) -> tuple[Cells, Cells]:
    """The same sudoku with its numbers renamed and rows and columns moved in ways that keep the rules."""
    numbers = [0, *draw.sample(range(1, 10), 9)]
    rows, columns = _lines(draw), _lines(draw)
    turned = draw.random() < 0.5
    places = [9 * column + row if turned else 9 * row + column for row in rows for column in columns]
    cells, square = (tuple(numbers[part[place]] for place in places) for part in base)
    return cells, square


def _lines(draw: random.Random) -> Sequence[int]:
    """The nine lines in an order that keeps the boxes together."""
    return [3 * band + line for band in draw.sample(range(3), 3) for line in draw.sample(range(3), 3)]
