"""Squares with every number once in each row, column and, where there are boxes, box; and all ways to complete one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

Cells = tuple[int, ...]
"""The numbers of a square, row by row; 0 for an empty cell."""


@dataclass(frozen=True)
class Rules:
    """The rules of squares of ``size`` rows, with square boxes or without.

    Example:
        >>> sum(1 for _ in Rules(4, boxes=True).solutions((0,) * 16))
        288
    """

    size: int
    boxes: bool

    @cached_property
    def regions(self) -> tuple[tuple[int, ...], ...]:
        """For each cell its row, column and box, numbered through."""
        n, edge = self.size, math.isqrt(self.size)
        places = itertools.product(range(n), repeat=2)
        boxes = ((2 * n + row // edge * edge + column // edge,) if self.boxes else () for row, column in places)
        return tuple((cell // n, n + cell % n, *box) for cell, box in enumerate(boxes))

    def broken(self, cells: Sequence[int]) -> bool:
        """Whether a number stands twice in a row, column or box; empty cells break nothing."""
        seen: set[tuple[int, int]] = set()
        for number, regions in zip(cells, self.regions, strict=True):
            for region in regions if number else ():
                if (region, number) in seen:
                    return True
                seen.add((region, number))
        return False

    def solutions(self, cells: Cells, rng: random.Random | None = None) -> Iterator[Cells]:
        """All completions of a square, in random order of the numbers with ``rng``."""
        if self.broken(cells):
            return
        free = [(1 << self.size) - 1] * (3 * self.size)  # a bit for each number that a region lacks
        for number, regions in zip(cells, self.regions, strict=True):
            for region in regions if number else ():
                free[region] &= ~(1 << (number - 1))
        yield from self._complete(list(cells), [i for i, number in enumerate(cells) if not number], free, rng)

    def _complete(
        self, cells: list[int], empty: list[int], free: list[int], rng: random.Random | None
    ) -> Iterator[Cells]:
        """Fills the cell that has the fewest candidates, and so on."""
        if not empty:
            yield tuple(cells)
            return
        fewest, place, candidates = self.size + 1, 0, 0
        for i, cell in enumerate(empty):
            bits = -1
            for region in self.regions[cell]:
                bits &= free[region]
            if (count := bits.bit_count()) < fewest:
                fewest, place, candidates = count, i, bits
                if count < 2:
                    break
        cell = empty[place]
        rest = [*empty[:place], *empty[place + 1 :]]
        numbers = [number for number in range(1, self.size + 1) if candidates >> (number - 1) & 1]
        for number in numbers if rng is None else rng.sample(numbers, len(numbers)):
            bit = 1 << (number - 1)
            for region in self.regions[cell]:
                free[region] ^= bit
            cells[cell] = number
            yield from self._complete(cells, rest, free, rng)
            for region in self.regions[cell]:
                free[region] ^= bit
        cells[cell] = 0
