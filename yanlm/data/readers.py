"""Reads text from .txt, .jsonl, .csv and .parquet files into rows.

Unusable rows are skipped and reported with their line. An unusable file raises a :class:`DataError` of one line with
the file, the fault and the remedy.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import NamedTuple

from yanlm.data import reading
from yanlm.data.formats import READERS, Reader, fail
from yanlm.data.mapped import Content, read_content, unpacked
from yanlm.data.row_store import LARGE, Rows, RowStore
from yanlm.data.rows import Columns, DataError, Row, columns_wanted, printable_line

_TEXTS = 8  # the cap divided by this is the most that a single text may have
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

    rows: Rows
    skipped: list[str]
    notes: list[str]


def read_rows(path: str | Path, columns: Columns = None) -> Table:
    """Reads a .txt, .jsonl, .csv or .parquet file; the first three also as .gz.

    - `.txt`: a text is a paragraph between blank lines, its lines joined; without blank lines each line is one.
    - `.jsonl`: one object per line. `.csv`: UTF-8, a header, columns separated by tab, semicolon or comma (the first of
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
    try:
        table = _read(path, read, columns, packed=suffix != ".parquet")
    except reading.TooLargeError as error:
        fail(path, f"{error}, or put its parts in a folder and stream hf:FOLDER", error)
    except OSError as error:
        fail(path, f"cannot be unpacked or kept ({error.strerror or error}): the folder of TMPDIR needs room", error)
    except MemoryError as error:
        fail(path, "does not fit into memory; split it, or put its parts in a folder and stream hf:FOLDER", error)
    rows, skipped, _ = table
    if len(skipped) > len(rows):
        reason = skipped[0].removeprefix(f"{path}:")
        remedy = columns_wanted(columns) if "fields there" in reason else "correct the file"
        bad = f"{len(skipped)} of {len(skipped) + len(rows)} {unit}s cannot be used"
        fail(path, f"{bad}, the first is {unit} {reason}; {remedy}")
    if not rows:
        fail(path, "holds no text, only white space or a header; it needs at least one text")
    return table


def _read(path: Path, read: Reader, columns: Columns, packed: bool) -> Table:
    content, fault = _content(path), ""
    if packed:
        content, fault = _unpacked(path, content)
        content = content.removeprefix(codecs.BOM_UTF8)
        _check_text(path, content)
        _check_lines(content)
    rows: list[Row] | RowStore = []
    skipped, notes = list[str](), list[str]()
    most, total = reading.max_bytes(), 0
    for count, (line, outcome) in enumerate(read(path, content, columns)):
        if isinstance(outcome, str):
            notes.append(printable_line(f"{path}: {outcome}"))
        elif isinstance(outcome, DataError):
            skipped.append(printable_line(f"{path}:{line}: {outcome}"))
        else:
            size = sum(map(len, outcome.values()))
            total += size  # more than the file holds, where rows repeat a part of it
            if size > most // _TEXTS or total > most:
                reading.check_size(size, f"the text of line {line} holds", most // _TEXTS, "a text")
                reading.check_size(total, "unpacks to")
            if total > LARGE and isinstance(rows, list):
                rows = RowStore(rows)
            rows.append(outcome)
        if count % 1000 == 0:
            reading.check_rows(count)
    if fault:
        notes.insert(0, f"{path}: {fault}; the {len(rows)} rows before the break are used")
    return Table(rows if isinstance(rows, list) else rows.rows(), skipped, notes)


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
        inside = next((str(entry) for entry in sorted(path.glob("train.*"))), None)
        files = f"one file, such as {inside}" if inside else "its files with a --data each"
        fail(path, f"is a folder; give {files}, or stream hf:{path}")
    if not os.path.exists(path):
        is_pattern = any(sign in str(path) for sign in "*?")
        remedy = "patterns are not read: give each file a --data" if is_pattern else "check the path"
        fail(path, f"does not exist; {remedy}")


def _content(path: Path) -> Content:
    try:
        _check_path(path)
        content = read_content(path)
    except OSError as error:
        fail(path, f"cannot be read ({error.strerror or error}); check the path and its permissions", error)
    if not content:
        fail(path, "is empty (0 bytes); it needs at least one text")
    return content


def _unpacked(path: Path, content: Content) -> tuple[Content, str]:
    """The content without gzip, whatever the file is called, and what cut it short; the incomplete line is left out."""
    text, fault = unpacked(content)
    if fault:
        text = text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]
        if not text:
            fail(path, f"{fault}, before its first line was over; copy it again")
    if not text:
        fail(path, "is empty (0 bytes once unpacked); it needs at least one text")
    return text, fault


def _check_lines(content: Content) -> None:
    """Raises ``TooLargeError`` if lines are too long or too many, before rows are made of them."""
    reading.check_rows(reading.line_ends(content), "lines", 16)
    most, start = reading.max_bytes() // _TEXTS, 0
    while len(content) - start > most:
        end = max(content.rfind(mark, start, start + most + 1) for mark in (b"\n", b"\r"))
        if end < 0:
            stop = min((at for mark in (b"\n", b"\r") if (at := content.find(mark, start)) >= 0), default=len(content))
            reading.check_size(stop - start, f"line {1 + reading.line_ends(content, 0, start)} holds", most, "a line")
        start = end + 1


def _check_text(path: Path, content: Content) -> None:
    for magic, kind, remedy in _MAGIC:
        if content.startswith(magic):
            fail(path, f"is {kind} by its content; {remedy}")
    zero = content.find(b"\0")
    if zero >= 0:
        line = 1 + reading.line_ends(content, 0, zero)
        fail(path, f"line {line} holds a zero byte (byte {zero}): binary data, not text; save it as UTF-8 text")
