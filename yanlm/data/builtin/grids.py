"""Squares to complete, written row by row: ``. 1 <mask> 3 4 . <mask> 4 1 <mask> .`` and so on.

Which number a cell holds depends on all cells of its row, column and box: any two cells that share one have to agree.
There are few enough squares of four rows to list them all, and all completions of a source are equally likely.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from yanlm.data.builtin.drawing import check_drawn, split_at, split_by_hash
from yanlm.data.builtin.puzzle import Puzzle
from yanlm.data.builtin.setting import SHARE, setting
from yanlm.data.builtin.squares import Cells, Rules
from yanlm.data.rows import MASKS

MOST_COMPLETIONS = 2000
"""Completions that are listed; those of squares of four rows are fewer."""

_FEW = 2  # sources with fewer givens are too few to be divided between splits


@dataclass(frozen=True, kw_only=True)
class GridPuzzle(Puzzle):
    """A square of which some cells are given. A text is right if the square is complete and keeps the rules.

    Attributes:
        givens: Probability that a cell is given.
    """

    boxes: ClassVar[bool]

    givens: float = setting(0.25, SHARE)
    train: int = setting(100_000, range(10_000_001))

    @property
    def rules(self) -> Rules:
        """What a square has to keep."""
        return Rules(4, self.boxes)

    def rows(self, split: str = "train", n: int = 20000, seed: int = 0) -> list[dict[str, Any]]:
        check_drawn(split, n)
        draw = random.Random(f"{self.name} {split} {seed}")
        squares = completions(self.rules, (0,) * self.rules.size**2)
        rows: list[dict[str, Any]] = []
        while len(rows) < n:
            square = draw.choice(squares)
            shown = [draw.random() < self.givens for _ in square]
            if all(shown):  # something has to be left to write
                shown[draw.randrange(len(square))] = False
            cells = tuple(number * given for number, given in zip(square, shown, strict=True))
            source, chosen = self.source(cells), draw.random()
            if (split_by_hash(source) if sum(shown) >= _FEW else split_at(chosen)) == split:
                rows.append(self.row(cells, square))
        return rows

    def row(self, cells: Cells, square: Cells) -> dict[str, Any]:
        """A row of given cells, 0 for the others, and the complete square."""
        target = [str(number) for number, given in zip(square, cells, strict=True) if not given]
        return {"source": self.source(cells), "target": target}

    def source(self, cells: Sequence[int]) -> str:
        """The square as a text, with masks for empty cells.

        Example:
            >>> from yanlm.data.builtin.latin import Latin
            >>> Latin().source([1, 2, 0, 0] * 4)
            '. 1 2 <mask> <mask> . 1 2 <mask> <mask> . 1 2 <mask> <mask> . 1 2 <mask> <mask> .'
        """
        words, n = [str(number or "<mask>") for number in cells], self.rules.size
        lines = (words[first : first + n] for first in range(0, len(words), n))
        return ". " + " . ".join(map(" ".join, lines)) + " ."

    def read(self, text: str) -> Cells | None:
        """The cells of a text, 0 for a mask; None if it is no square."""
        n = self.rules.size
        first, *lines, last = text.split(".") if text.count(".") == n + 1 else ["", "", ""]
        words = [line.split() for line in lines]
        if first.strip() or last.strip() or len(words) != n or any(len(line) != n for line in words):
            return None
        numbers = {str(number): number for number in range(1, n + 1)}
        cells = [0 if MASKS.fullmatch(word) else numbers.get(word) for line in words for word in line]
        return None if None in cells else tuple(cell for cell in cells if cell is not None)

    def answers(self, text: str) -> tuple[str | None, ...]:
        cells = self.read(text)
        right = cells is not None and 0 not in cells and not self.rules.broken(cells)
        return ("".join(map(str, cells)) if cells is not None and right else None,)

    def completions(self, source: str) -> tuple[Cells, ...]:
        """All ways to complete a source, ``MOST_COMPLETIONS`` at most.

        Raises:
            ValueError: It is no source of this task, or cannot be completed.
        """
        cells = self.read(source)
        listed = () if cells is None else completions(self.rules, cells)
        if not listed:
            raise ValueError(f"source must be one of {self.spec} that can be completed, got {source!r:.60}")
        return listed

    def choices(self, source: str) -> tuple[int, ...]:
        return (len(self.completions(source)),)

    def chances(self, source: str) -> tuple[float, ...]:
        squares = self.completions(source)
        shares = [Counter(numbers) for numbers in zip(*squares, strict=True)]
        ways = (
            math.prod(share[number] / len(squares) for share, number in zip(shares, s, strict=True)) for s in squares
        )
        return (math.fsum(ways),)

    def draw(self, source: str, rng: random.Random) -> str:
        return self.source(rng.choice(self.completions(source)))


@lru_cache(maxsize=4096)
def completions(rules: Rules, cells: Cells) -> tuple[Cells, ...]:
    """All ways to complete a square, ``MOST_COMPLETIONS`` at most.

    Example:
        >>> len(completions(Rules(4, boxes=False), (1, 2, 3, 4) + (0,) * 12))
        24
    """
    return tuple(itertools.islice(rules.solutions(cells), MOST_COMPLETIONS))
