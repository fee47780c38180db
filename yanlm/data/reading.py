"""``moefm.reading`` and ``moefm.plain_text``, imported when a file is read, since naming data and rows needs no
torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from moefm.plain_text import MISSING as MISSING
    from moefm.plain_text import line_ends as line_ends
    from moefm.plain_text import lines as lines
    from moefm.plain_text import separator as separator
    from moefm.reading import GZIP as GZIP
    from moefm.reading import DamagedError as DamagedError
    from moefm.reading import TooLargeError as TooLargeError
    from moefm.reading import check_rows as check_rows
    from moefm.reading import check_size as check_size
    from moefm.reading import max_bytes as max_bytes
    from moefm.reading import pieces as pieces
    from moefm.reading import read_bytes as read_bytes

_HOMES = {
    "DamagedError": "reading",
    "GZIP": "reading",
    "MISSING": "plain_text",
    "TooLargeError": "reading",
    "check_rows": "reading",
    "check_size": "reading",
    "line_ends": "plain_text",
    "lines": "plain_text",
    "max_bytes": "reading",
    "pieces": "reading",
    "read_bytes": "reading",
    "separator": "plain_text",
}


def __getattr__(name: str) -> Any:
    globals()[name] = named("moefm", _HOMES, name)  # once for all calls
    return globals()[name]
