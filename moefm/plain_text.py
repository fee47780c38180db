"""Plain text of files that a user gives: where lines end, what separates columns, how it is quoted in a message."""

from __future__ import annotations

import re
from typing import Protocol

_LINE_END = re.compile(r"\r\n|\r|\n")
_FILLED = re.compile(r"[^\r\n]+")

MISSING = frozenset(
    {"na", "n/a", "#n/a", "#na", "<na>", "null", "none", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
    | {sign + name for sign in ("", "+", "-") for name in ("nan", "inf", "infinity")}
)
"""How programs write a number that is missing or not finite, in lower case."""


def lines(text: str) -> list[str]:
    r"""The lines of a text, which end at ``\n``, ``\r\n`` and ``\r`` and at nothing else.

    ``str.splitlines`` also splits at form feeds, U+0085, U+2028 and others, which are part of a line here.

    Example:
        >>> lines("One\x0c line\r\nand\u2028another\n")
        ['One\x0c line', 'and\u2028another']
    """
    parts = _LINE_END.split(text)
    return parts if parts[-1] else parts[:-1]


class Bytes(Protocol):
    """Bytes, in memory or in a mapped file."""

    def count(self, part: bytes, start: int, stop: int | None, /) -> int:
        """How often a part stands between two positions."""


def line_ends(text: str | Bytes, start: int = 0, stop: int | None = None) -> int:
    r"""How many lines end between two positions; 1 more is the number of the line that ``stop`` is in.

    Example:
        >>> line_ends("a\rb\r\nc", 0, 5)
        2
    """
    if isinstance(text, str):
        return text.count("\n", start, stop) + text.count("\r", start, stop) - text.count("\r\n", start, stop)
    return text.count(b"\n", start, stop) + text.count(b"\r", start, stop) - text.count(b"\r\n", start, stop)


def separator(text: str) -> str:
    """What separates the columns of a table: tab, else semicolon, else comma, as far as the first line has them.

    A decimal comma never hides the true separator; what stands in quotes does not count.

    Example:
        >>> separator('"a;b",c'), separator("1,5;2,5")
        (',', ';')
    """
    first = next((line[0] for line in _FILLED.finditer(text) if line[0].strip()), "")
    unquoted = re.sub(r'"[^"]*"', "", first)
    return next((mark for mark in "\t;" if mark in unquoted), ",")


def printable(text: str) -> str:
    r"""A text for a terminal: single spaces for white space, escape sequences for control and invisible characters.

    Example:
        >>> print(printable("caf\u00e9 \x1b[31m\n \u202e"))
        café \x1b[31m \u202e
    """
    spaced = " ".join(text.split())
    if spaced.isprintable():
        return spaced
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in spaced)
