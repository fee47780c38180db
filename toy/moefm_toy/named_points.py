"""Points of a file with the names of their columns, and its content; what is wrong with it becomes one error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from moefm.plain_text import printable
from moefm.reading import TooLargeError, read_bytes

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


@contextmanager
def content_of(path: Path, accepted: Iterable[str]) -> Iterator[bytes]:
    """The bytes of a file with one of the ``accepted`` extensions.

    What goes wrong with its size or the disk, also while the bytes are used, becomes a :class:`DataError`.
    """
    try:
        if path.is_dir():
            fail(path, "is a folder; give one file of points")
        if not path.exists():
            fail(path, "does not exist; check the path")
        if path.suffix.lower() not in accepted:
            given = f"has the extension '{path.suffix}'" if path.suffix else "has no extension"
            fail(path, f"{given}; accepted are {', '.join(accepted)}")
        content = read_bytes(path)
        if not content:
            fail(path, "is empty (0 bytes); it needs one point per row")
        yield content
    except OSError as error:
        fail(path, f"cannot be read ({error.strerror or error}); check its permissions", error)
    except TooLargeError as error:
        fail(path, str(error), error)
    except MemoryError as error:
        fail(path, "does not fit into memory, or is damaged; save fewer points", error)


def load(path: Path, read: Callable[[], Any]) -> Any:
    """Call a library's reader; whatever a damaged file makes it raise becomes a :class:`DataError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns about odd headers on its way to the error
            return read()
    except MemoryError:
        raise
    except Exception as error:  # damaged files raise nearly anything: zlib, struct, tokenizer errors
        if "pickle" in str(error):
            fail(path, "holds Python objects (a pickle), never loaded here; save an array of floats", error)
        fail(path, f"is damaged or not a {path.suffix.lower()} file ({error}); save it again", error)
