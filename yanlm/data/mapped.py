"""The content of a file: small files are read, large ones are mapped into memory and read only as far as needed."""

from __future__ import annotations

import mmap
import stat
import tempfile
from pathlib import Path

from yanlm.data import reading

LARGE = 64 * 2**20
"""Size in bytes from which a file is mapped; for a small one a copy is as good."""

_PIECE = 2**24


class Mapped(mmap.mmap):
    """A mapped file with the methods of bytes that readers need; none of them copies all of it."""

    def startswith(self, prefix: bytes, start: int = 0) -> bool:
        """Whether these bytes stand at a position."""
        return self[start : start + len(prefix)] == prefix

    def count(self, part: bytes, start: int = 0, stop: int | None = None) -> int:
        """How often these bytes, of which no two overlap, stand between two positions."""
        stop = len(self) if stop is None else min(stop, len(self))
        ends = (min(at + _PIECE + len(part) - 1, stop) for at in range(start, stop, _PIECE))
        return sum(self[at:end].count(part) for at, end in zip(range(start, stop, _PIECE), ends, strict=True))

    def removeprefix(self, prefix: bytes) -> bytes | Mapped:
        """The same without this beginning: a copy, if it is there."""
        return self[len(prefix) :] if self.startswith(prefix) else self


Content = bytes | Mapped


def read_content(path: Path) -> Content:
    """The content of a file.

    Raises:
        OSError: It cannot be read.
        TooLargeError: It holds more than :func:`moefm.reading.max_bytes`.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     _ = file.write(b"One day."), file.flush()
        ...     read_content(Path(file.name))
        b'One day.'
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size <= LARGE:
        return reading.read_bytes(path)
    reading.check_size(status.st_size, "holds")
    with path.open("rb") as file:
        return Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)


def unpacked(content: Content) -> tuple[Content, str]:
    """The content, decompressed if it is gzip, and what cut it short ("" if nothing did).

    If the decompressed content is large, it lies in a temporary file that is mapped.

    Raises:
        OSError: The folder for temporary files is full or cannot be written.
        TooLargeError: It is more than :func:`moefm.reading.max_bytes`.

    Example:
        >>> import gzip
        >>> unpacked(gzip.compress(b"One day.")), unpacked(b"One day.")
        ((b'One day.', ''), (b'One day.', ''))
    """
    if not content.startswith(reading.GZIP):
        return content, ""
    size, fault = 0, ""
    with tempfile.SpooledTemporaryFile(LARGE) as file:
        try:
            for piece in reading.pieces(content):
                size += len(piece)
                reading.check_size(size, "unpacks to")
                file.write(piece)
        except reading.DamagedError as error:
            fault = str(error)
        if size > LARGE:
            file.flush()
            return Mapped(file.fileno(), 0, access=mmap.ACCESS_READ), fault
        file.seek(0)
        return file.read(), fault
