"""Bytes of files that a user gives, with a cap on how many are read into memory."""

from __future__ import annotations

import mmap
import os
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 2**30
"""How many bytes of one file are read into memory, counted after unpacking; ``MOEFM_MAX_BYTES`` sets another number."""

VARIABLE = "MOEFM_MAX_BYTES"

GZIP = b"\x1f\x8b"
"""What gzip members begin with."""

_SIZE = re.compile(r"(\d+(?:\.\d*)?(?:e\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_CHUNK = 1024  # compressed bytes read at a time: no more than these are lost to damage in a .gz file
_ZEROS = re.compile(rb"\0*")


class TooLargeError(ValueError):
    """More data than the cap allows; the message says how to raise it."""


class DamagedError(ValueError):
    """Compressed data that is cut short; the message says how."""


def parse_bytes(text: str) -> int:
    """The number of bytes that a text such as ``4G`` stands for (powers of 1024).

    Raises:
        ValueError: It is not a positive size.

    Example:
        >>> parse_bytes("1.5G"), parse_bytes("200 MB"), parse_bytes("1000")
        (1610612736, 209715200, 1000)
    """
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ") if match else 0.0
    if not 1 <= size < 2**62:
        raise ValueError(f"a size must be a positive number of bytes, or such as 500M or 4G, got {text!r}")
    return int(size)


def max_bytes() -> int:
    """The cap on the content of one file after decompression: ``MOEFM_MAX_BYTES``, or :data:`MAX_BYTES`.

    Raises:
        ValueError: The environment variable is not a size.

    Example:
        >>> max_bytes() == MAX_BYTES or VARIABLE in os.environ
        True
    """
    given = os.environ.get(VARIABLE, "").strip()
    try:
        return parse_bytes(given) if given else MAX_BYTES
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from None


def check_size(size: float, what: str, most: int | None = None, of: str = "a file") -> None:
    """Raise :class:`TooLargeError` where ``size`` bytes are more than the cap.

    Args:
        size: Bytes.
        what: The beginning of the message, such as ``holds`` or ``line 3 holds``.
        most: Another cap than :func:`max_bytes`, in proportion to it.
        of: What the cap is for.

    Example:
        >>> check_size(10, "holds")
    """
    cap = max_bytes() if most is None else most
    if size > cap:
        given = f"{what} more than {cap:,} bytes, the most of {of} that is read into memory"
        raise TooLargeError(f"{given}; {raised(size / max(cap, 1))}")


def check_rows(count: int, what: str = "rows", size: int = 128) -> None:
    """Raise :class:`TooLargeError` if rows, however short, would take many times the memory of the cap.

    Args:
        count: How many there are.
        what: Their name.
        size: Bytes that each counts for, whatever it holds.

    Example:
        >>> check_rows(1000)
    """
    most = max_bytes() // size
    if count > most:
        times = raised(count / max(most, 1))
        raise TooLargeError(f"holds more than {most:,} {what}, the most that are read into memory; {times}")


def raised(times: float = 1.0) -> str:
    """How to raise the cap, for a message: to a little more than ``times`` its present value.

    Example:
        >>> "MOEFM_MAX_BYTES=" in raised()
        True
    """
    wanted = max(2, 2 ** int(times).bit_length()) * max_bytes()
    unit = next((unit for unit in "GMK" if wanted >= 1024 ** " KMG".index(unit)), "")
    shown = f"{wanted // 1024 ** ' KMG'.index(unit or ' ')}{unit}"
    return f"raise the cap with --max-bytes {shown} or {VARIABLE}={shown}"


def read_bytes(path: Path) -> bytes:
    """The content of a file, which may be a pipe or a device.

    Raises:
        OSError: It cannot be read.
        TooLargeError: It holds more than :func:`max_bytes`; nothing of it is kept.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        check_size(status.st_size, "holds")
        return file.read() if stat.S_ISREG(status.st_mode) else read_stream(file)


def read_stream(file: BinaryIO) -> bytes:
    """What comes from a pipe or device of unknown size, such as ``sys.stdin.buffer``.

    Raises:
        TooLargeError: It is more than :func:`max_bytes`.

    Example:
        >>> import io
        >>> read_stream(io.BytesIO(b"One day."))
        b'One day.'
    """
    content = bytearray()
    while piece := file.read(1 << 20):
        content += piece
        check_size(len(content), "holds")
    return bytes(content)


def pieces(content: bytes | mmap.mmap) -> Iterator[bytes]:
    """What gzip members hold, a megabyte at a time; a .gz file may hold several, and zeros behind the last.

    Raises:
        DamagedError: The content is damaged or cut short, after the pieces before that place.

    Example:
        >>> import gzip
        >>> list(pieces(gzip.compress(b"One day.")))
        [b'One day.']
    """
    position, size = 0, 0
    while content[position : position + len(GZIP)] == GZIP:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            packed = content[position : position + _CHUNK]
            if not packed:
                raise DamagedError("the gzip file ends early (cut off while it was copied?)")
            try:
                piece = member.decompress(packed)
            except zlib.error:
                raise DamagedError(f"the gzip file is damaged after {size} bytes of text") from None
            size += len(piece)
            yield piece
            position += len(packed) - len(member.unused_data)
        if zeros := _ZEROS.match(content, position):
            position = zeros.end()
