"""Points of a file with the names of their columns, and the error for a file that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from moefm.plain_text import printable

Points = NDArray[np.float64]


class NamedPoints(NamedTuple):
    """Points ``(n, D)``, the names of their D columns, or none if the file has none, and whether it holds integers."""

    points: Points
    names: tuple[str, ...] = ()
    integers: bool = False


class DataError(ValueError):
    """A data file that cannot be used: one line that names the file, the fault and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def fail(path: Path, fault: str, cause: Exception | None = None) -> NoReturn:
    """Raise the error for a fault of a file.

    Example:
        >>> fail(Path("points.csv"), "is empty")
        Traceback (most recent call last):
        ...
        moefm_toy.named_points.DataError: points.csv: is empty
    """
    raise DataError(f"{path}: {fault}") from cause
