"""Reads text from .txt, .jsonl, .csv and .parquet files into rows.

Rows that cannot be used are skipped and named with their line; a file that cannot be used is one :class:`DataError` of
one line with the file, the fault and the remedy.
"""

from __future__ import annotations

import codecs
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from yanlm.data.formats import READERS, fail
from yanlm.data.rows import Columns, DataError, Row, columns_wanted

_CHUNK = 1024  # compressed bytes a step: what damage in a .gz file costs at most
_GZIP = b"\x1f\x8b"
_UTF16 = "save it as UTF-8, for example with iconv -f utf-16 -t utf-8"
_MAGIC = (
    (codecs.BOM_UTF16_LE, "UTF-16 text", _UTF16),
    (codecs.BOM_UTF16_BE, "UTF-16 text", _UTF16),
    (b"%PDF", "a PDF", "save its text as a .txt file"),
    (b"PK\x03\x04", "a zip archive or an office document", "unpack it or save its text"),
    (b"PAR1", "a parquet file", "rename it to .parquet"),
    (b"{\\rtf", "a rich-text document", "save its text as a .txt file"),
)


class Table(NamedTuple):
    """What a file holds: rows, where each came from, and what was skipped as ``file:line: reason``."""

    rows: list[Row]
    skipped: list[str]
    notes: list[str]


def read_rows(path: str | Path, columns: Columns = None) -> Table:
    """Reads a .txt, .jsonl, .csv or .parquet file; the first three also as .gz.

    - `.txt`: a text is a paragraph between blank lines, its lines joined; without blank lines each line is one.
    - `.jsonl`: an object a line. `.csv`: UTF-8, a header, columns separated by tab, semicolon or comma (the first of
      these in the header). `.parquet`: needs pyarrow.

    Args:
        path: The file; its extension says how it is read. A mark of UTF-8 at its start and CRLF are accepted.
        columns: The name of the text's field or column where it is not ``text``, or those of source and target.

    Returns:
        The rows, at least one, what was skipped, and notes to show.

    Raises:
        DataError: The file is missing, a folder, empty, binary, in another encoding, of an unknown extension or without
            the columns, or more than half of its lines cannot be used.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "notes.txt"
        ...     _ = file.write_text("It was late.\\nRain fell.\\n\\nNobody came.\\n")
        ...     read_rows(file).rows
        [{'text': 'It was late. Rain fell.'}, {'text': 'Nobody came.'}]
    """
    path = Path(path)
    suffix = extension(path)
    read, unit = READERS.get(suffix.removesuffix(".gz"), (None, ""))
    if read is None or suffix == ".parquet.gz":
        _check_path(path)
        given = f"has the extension '{suffix}'" if suffix else "has no extension"
        fail(path, f"{given}; accepted are .txt, .jsonl, .csv (each also with .gz) and .parquet")
    content = _content(path)
    fault = ""
    if suffix != ".parquet":
        content, fault = _unpacked(path, content)
        content = content.removeprefix(codecs.BOM_UTF8)
        _check_text(path, content)
    rows: list[Row] = []
    skipped: list[str] = []
    for line, row in read(path, content, columns):
        if isinstance(row, DataError):
            skipped.append(f"{path}:{line}: {row}")
        else:
            rows.append(row)
    if len(skipped) > len(rows):
        reason = skipped[0].removeprefix(f"{path}:")
        named = columns_wanted(columns) if columns else "name the text's field with --text-column"
        remedy = named if "fields there" in reason else "correct the file"
        bad = f"{len(skipped)} of {len(skipped) + len(rows)} {unit}s cannot be used"
        fail(path, f"{bad}, the first is {unit} {reason}; {remedy}")
    if not rows:
        fail(path, "holds no text, only white space or a header; it needs at least one text")
    notes = [f"{path}: {fault}; the {len(rows)} rows before the break are used"] if fault else []
    return Table(rows, skipped, notes)


def extension(path: Path) -> str:
    """The extension in lower case, with what stands before a .gz.

    Example:
        >>> extension(Path("stories.v2.JSONL.gz"))
        '.jsonl.gz'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def _check_path(path: Path) -> None:
    if os.path.isdir(path):  # unlike those of Path, these never raise
        inside = next((entry.name for entry in sorted(path.glob("train.*"))), "train.jsonl.gz")
        fail(path, f"is a folder; give one file, such as {path / inside}")
    if not os.path.exists(path):
        fail(path, "does not exist; check the path")


def _content(path: Path) -> bytes:
    try:
        _check_path(path)
        content = path.read_bytes()
    except OSError as error:
        fail(path, f"cannot be read ({error.strerror or error}); check the path and its permissions", error)
    except MemoryError as error:
        fail(path, "does not fit into memory; split it, or put its parts in a folder and stream hf:FOLDER", error)
    if not content:
        fail(path, "is empty (0 bytes); it needs at least one text")
    return content


def _unpacked(path: Path, content: bytes) -> tuple[bytes, str]:
    """The content without gzip, whatever the file is called, and what broke it off; the cut line is left out."""
    text, fault, rest = bytearray(), "", content
    while rest.startswith(_GZIP) and not fault:  # a .gz file may hold several members
        member = zlib.decompressobj(wbits=31)
        try:
            for start in range(0, len(rest), _CHUNK):
                text += member.decompress(rest[start : start + _CHUNK])
                if member.eof:
                    rest = (member.unused_data + rest[start + _CHUNK :]).lstrip(b"\0")
                    break
            else:
                fault = "the gzip file ends early (cut off while it was copied?)"
        except zlib.error:
            fault = f"the gzip file is damaged after {len(text)} bytes of text"
    if not content.startswith(_GZIP):
        return content, ""
    if fault and not (text := text[: text.rfind(b"\n") + 1]):
        fail(path, f"{fault}, before its first line was over; copy it again")
    if not text:
        fail(path, "is empty (0 bytes once unpacked); it needs at least one text")
    return bytes(text), fault


def _check_text(path: Path, content: bytes) -> None:
    for magic, kind, remedy in _MAGIC:
        if content.startswith(magic):
            fail(path, f"is {kind} by its content; {remedy}")
    zero = content.find(b"\0")
    if zero >= 0:
        line = content.count(b"\n", 0, zero) + 1
        fail(path, f"line {line} holds a zero byte (byte {zero}): binary data, not text; save it as UTF-8 text")
