"""Files written whole or not at all: to another name, flushed to the disk, then renamed. Runs write all files so."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BESIDE = ".saving-"
"""Beginning of names that a kill may have left behind."""

LONGEST = 255
"""Bytes of a file's name on most file systems."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that a terminal obeys instead of showing, or that turn the letters around them: all control characters but
tab and the line feed, overrides of the direction of writing, and halves of surrogate pairs."""


def printable(text: str) -> str:
    """Text for people: control characters are escaped, so that a terminal shows them and does not obey.

    Example:
        >>> printable("in \\x1b[31mred\\r\\n")
        'in \\\\x1b[31mred\\n'
    """
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text.replace("\r\n", "\n"))


def pasted(path: str | Path) -> str:
    """A path quoted for the shell, for a command in a message.

    Example:
        >>> pasted("runs/a"), pasted("my $(run)")
        ('runs/a', "'my $(run)'")
    """
    return shlex.quote(str(path))


@contextmanager
def writing_to(out: Path, option: str = "--out") -> Iterator[None]:
    """Make the folder ``out``, which the user named by ``option``, for what is written in the block.

    Raises:
        ValueError: The folder cannot be made, or the block cannot write to it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ValueError(f"cannot write to {out}: {error.strerror or error}; choose another {option}") from None


def check_writable(folder: Path, option: str = "--out") -> None:
    """Check before an hour of work whether a folder can be created and written; nothing is created.

    Args:
        folder: The folder.
        option: What the user named it by.

    Raises:
        ValueError: It cannot.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not nearest.is_dir():
        raise ValueError(f"cannot write to {folder}: {nearest} is no folder; choose another {option}")
    if any(len(os.fsencode(part)) > LONGEST for part in folder.parts):
        raise ValueError(f"cannot write to {folder}: a name of more than {LONGEST} bytes; choose another {option}")
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"cannot write to {folder}; choose another {option}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to. After the block it replaces ``path``; after an error nothing does.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as beside:
        ...     _ = beside.write_text("whole")
        >>> [path.name for path in folder.iterdir()]
        ['a.txt']
    """
    beside = path.with_name(f"{BESIDE}{path.name}")
    try:
        yield beside
        finish(beside)
        beside.replace(path)
        flush(path.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def filling(folder: Path, last: str) -> Iterator[Path]:
    """A folder to write files to; after the block they move to ``folder``, the one called ``last`` as the last.

    If that file is there, all others are as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=BESIDE, dir=folder))
    try:
        yield beside
        written = sorted(beside.iterdir(), key=lambda path: (path.name == last, path.name))
        for path in written:
            finish(path)
        for path in written:
            path.replace(folder / path.name)
        flush(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_json(path: Path, document: dict[str, Any], *, ascii: bool = True) -> None:
    """Write a document; with ``ascii`` other letters are escaped."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=ascii) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def finish(path: Path) -> None:
    """Bring a file that was written, or the names in a folder, to the disk; who may read it is up to the umask."""
    from moefm.files import usual_mode  # here, since reading data must not load torch

    usual_mode(path)  # safetensors and mkdtemp write for their owner alone
    flush(path)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
