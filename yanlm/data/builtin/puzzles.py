"""All puzzles by name, and the one that a spec names."""

from __future__ import annotations

from yanlm.data.builtin.codes import Codes
from yanlm.data.builtin.latin import Latin
from yanlm.data.builtin.puzzle import Puzzle
from yanlm.data.builtin.replace import Replace
from yanlm.data.builtin.setting import read_settings
from yanlm.data.builtin.shuffle import Shuffle
from yanlm.data.builtin.statements import Lookups, Statements
from yanlm.data.builtin.sudoku import Sudoku
from yanlm.data.builtin.sums import Sums
from yanlm.data.rows import DataError

PUZZLES: dict[str, type[Puzzle]] = {
    task.name: task for task in (Codes, Statements, Lookups, Shuffle, Replace, Latin, Sudoku, Sums)
}
"""Tasks whose answers can be checked, by name."""


def puzzle(spec: str) -> Puzzle:
    """The puzzle that a spec names, with its settings.

    Args:
        spec: ``builtin:NAME`` or ``NAME``, and settings behind a colon.

    Raises:
        DataError: The name or a setting is not known; the line says what is accepted.

    Example:
        >>> puzzle("builtin:codes:vocabulary=64,groups=4").bound == 64**-3
        True
    """
    name, colon, settings = spec.removeprefix("builtin:").partition(":")
    if name not in PUZZLES:
        raise DataError(f"{spec}: no such puzzle; there are {', '.join(PUZZLES)}")
    task = PUZZLES[name]
    return task(**read_settings(task, settings) if colon else {})
