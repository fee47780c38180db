"""Latin squares of four rows: each number once in every row and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from yanlm.data.builtin.grids import GridPuzzle


@dataclass(frozen=True, kw_only=True)
class Latin(GridPuzzle):
    """The 576 latin squares of four rows, a share of their cells given.

    Example:
        >>> latin = Latin(givens=0)
        >>> latin.valid(". 1 2 3 4 . 2 3 4 1 . 3 4 1 2 . 4 1 2 3 .")
        True
        >>> latin.bound == 576 / 4**16
        True
    """

    name: ClassVar[str] = "latin"
    boxes: ClassVar[bool] = False
