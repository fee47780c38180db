"""Files of a run, written whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys in place of showing it, or turns the letters around it: all control characters but tab and the
line feed, overrides of the direction of writing, and halves of surrogate pairs."""


def printable(text: str) -> str:
    """Text for people: control characters are spelled out, so that a terminal shows them and does not obey.

    Example:
        >>> printable("in \\x1b[31mred\\r\\n")
        'in \\\\x1b[31mred\\n'
    """
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text.replace("\r\n", "\n"))


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Make the folder ``out`` for what is written in the block.

    Raises:
        ValueError: The folder cannot be made, or the block cannot write to it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ValueError(f"cannot write to {out}: {error.strerror or error}; choose another --out") from None


def write_json(path: Path, document: dict[str, Any], *, ascii: bool = True) -> None:
    """Write a document whole or not at all; with ``ascii`` other letters are escaped."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=ascii) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
