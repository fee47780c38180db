"""Rows in the content of a file, by its format, or why a row could not be read, each with its line."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from moefm.installation import install
from yanlm.data import reading
from yanlm.data.delimited import Record, Typed, kind, records, typing_of
from yanlm.data.hub_records import FIELDS, known, outcomes
from yanlm.data.mapped import Content
from yanlm.data.rows import (
    BESIDE_SOURCE,
    BESIDE_TEXT,
    FORMS,
    MAY_BE_NUMBERS,
    Columns,
    DataError,
    Row,
    columns_wanted,
    listed,
)

Rows = Iterator[tuple[int, Row | DataError | str]]
"""Rows and faults, each with its line, and notes on the whole file."""

_FILLED = re.compile(r"[^\r\n]+")
_FILLED_BYTES = re.compile(rb"\S[^\r\n]*")
_PARQUET_ROWS = 1024  # read at a time
_BREAKS = r"\x0b\x0c\x1c-\x1f\x85\u2028\u2029"  # white space, but a line that holds nothing else is not blank
_BREAK = re.compile(f"[{_BREAKS}]")
_BLANK = re.compile(rf"(?:\n|\r(?!\n))[^\S\r\n{_BREAKS}]*+[\r\n]")
_BLOCK = 2**24
"""Bytes of a text that are decoded together, and then as many as its last line has."""


def fail(path: Path, fault: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the :class:`DataError` of a file that cannot be used."""
    raise DataError(f"{path}: {fault}") from cause


def _decoded(path: Path, content: Content, start: int = 0, stop: int | None = None) -> str:
    piece = content[start:stop]
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        at = start + error.start
        line = 1 + reading.line_ends(content, 0, at)
        fault = f"line {line} is not UTF-8 (byte {at} is 0x{piece[error.start]:02x}, Latin-1 perhaps)"
        fail(path, f"{fault}; save it as UTF-8, for example with iconv -f latin1 -t utf-8", error)


def _blocks(path: Path, content: Content) -> Iterator[str]:
    """The text in pieces that end where a line does."""
    start = 0
    while start < len(content):
        stop = _block_end(content, start)
        yield _decoded(path, content, start, stop)
        start = stop


def _block_end(content: Content, start: int) -> int:
    """Where the last line of a block ends, or the only one, if it is longer."""
    least, marks = start + _BLOCK, (b"\n", b"\r")
    if least >= len(content):
        return len(content)
    end = max(content.rfind(mark, start, least) for mark in marks) + 1
    if not end:
        end = min((at + 1 for mark in marks if (at := content.find(mark, least)) >= 0), default=len(content))
    return end + (content[end - 1 : end + 1] == b"\r\n")


def _read_txt(path: Path, content: Content, columns: Columns) -> Rows:
    if isinstance(columns, tuple):
        fail(path, "is plain text without fields; leave out --source-field and --target-field, or give a .jsonl file")
    lines = _filled_lines(_blocks(path, content))
    _, first, _ = next(lines, (1, "", False))
    if first.startswith("{") and isinstance(next(_read_jsonl(path, first.encode(), None), (1, {}))[1], dict):
        fail(path, "holds JSON, an object a line; rename it to .jsonl")
    # one text a line, unless a blank line stands between two that are not
    blocks = (text if place == 0 else f"\n{text}" for place, text in enumerate(_blocks(path, content)))
    joined = any(map(_BLANK.search, blocks)) and any(blank for _, _, blank in lines)  # the first is quick
    start, count, texts = 0, 0, 0
    paragraph: list[str] = []
    for number, line, blank in _filled_lines(_blocks(path, content)):
        if paragraph and (blank or not joined):
            yield start, {"text": " ".join(paragraph)}
            paragraph = []
        if not paragraph:
            start, texts = number, texts + 1
        paragraph.append(line)
        count += 1
    if paragraph:
        yield start, {"text": " ".join(paragraph)}
    if count > texts:
        note = f"its {count} lines are {texts} texts, the paragraphs between blank lines"
        yield 1, f"{note}; without blank lines each line is a text"


def _filled_lines(blocks: Iterator[str]) -> Iterator[tuple[int, str, bool]]:
    """The lines that are not blank: number, the line stripped, and whether blank ones stand before it."""
    number, ends, blank = 1, 0, False
    for text in blocks:
        end = 0
        for match in _FILLED.finditer(text):
            between = match.start() - end
            ends += between if between < 2 else reading.line_ends(text, end, match.start())
            number, blank = number + ends, blank or ends > 1
            end, ends = match.end(), 0
            if line := match[0].strip():
                yield number, line, blank
                blank = False
            elif not _BREAK.search(match[0]):
                blank = True
        ends += reading.line_ends(text, end)


def _read_jsonl(path: Path, content: Content, columns: Columns) -> Rows:
    number, end = 1, 0
    for match in _FILLED_BYTES.finditer(content):
        between, line = content[end : match.start()], match[0]
        number, end = number + (1 if between == b"\n" else reading.line_ends(between)), match.end()
        try:
            record = json.loads(line.decode())
        except UnicodeDecodeError as error:
            yield number, DataError(f"not UTF-8 (byte {error.start + 1} of the line is 0x{line[error.start]:02x})")
        except json.JSONDecodeError as error:
            yield number, DataError(f"not JSON ({error.msg}: character {error.colno})")
        except (ValueError, RecursionError):  # numbers of thousands of digits, thousands of brackets
            yield number, DataError("not JSON that can be read (a number too long or nested too deep)")
        else:
            for row in outcomes(record, columns):
                yield number, row


def _read_csv(path: Path, content: Content, columns: Columns) -> Rows:
    for _ in _blocks(path, content):  # is all of it UTF-8?
        pass
    table = records(content)
    if not (header := next(table, None)):
        return
    if header.fault:
        fail(path, f"line {header.line} is not a CSV header: {header.fault}; name the columns there")
    _check_columns(path, header.cells, columns)
    typed = _typed_columns(content, header.cells, columns)
    several, longest = 0, Record(0, [], lines=0)
    for row in table:
        several += row.lines > 1
        longest = row if row.lines > longest.lines else longest
        if row.fault:
            yield row.line, DataError(row.fault)
            continue
        cells = zip(header.cells, row.cells, strict=True)
        record = {name: typed[name](cell) if name in typed else cell for name, cell in cells}
        for outcome in outcomes(record, columns):
            yield row.line, outcome
    if len(header.cells) == 1 and longest.lines > 1:  # nothing tells whether a text swallowed others, as columns do
        lines = f"the longest is that of lines {longest.line} to {longest.line + longest.lines - 1}"
        yield 1, f"quotes keep several lines together in {several} text{'s' * (several > 1)}, {lines}"


def _typed_columns(content: Content, header: list[str], columns: Columns) -> dict[str, Typed]:
    """Functions that make values of the cells of columns that may be numbers; all of their cells are looked at."""
    numbers = {*MAY_BE_NUMBERS, columns[1] if isinstance(columns, tuple) else "label"}
    kinds = {place: Counter[str]() for place, name in enumerate(header) if name in numbers}
    if kinds:
        for row in itertools.islice(records(content), 1, None):
            if not row.fault:
                for place, counts in kinds.items():
                    counts[kind(row.cells[place])] += 1
    return {header[place]: typing_of(counts) for place, counts in kinds.items()}


def _read_parquet(path: Path, content: Content, columns: Columns) -> Rows:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        fail(path, f"needs pyarrow to be read; {install('parquet')}", error)
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        useful = _check_columns(path, file.schema_arrow.names, columns)
        batches = file.iter_batches(_PARQUET_ROWS, columns=useful)  # not all at once: a few bytes may be gigabytes
        for number, record in enumerate(itertools.chain.from_iterable(batch.to_pylist() for batch in batches), 1):
            for row in outcomes(record, columns):
                yield number, row
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError | reading.TooLargeError):
            raise
        fail(path, f"is damaged or not a parquet file ({error}); save it again", error)


def _check_columns(path: Path, names: list[str], columns: Columns) -> list[str]:
    """The columns of use, or the error that lists those there are."""
    wanted = (columns,) if isinstance(columns, str) else columns or ()
    for name in wanted:
        if name not in names:
            fail(path, f"has no column '{name}' (columns there: {listed(names)}); {columns_wanted(columns)}")
    if columns is None and not known(names):
        lacking = f"has no columns {FORMS} (columns there: {listed(names)})"
        fail(path, f"{lacking}; {columns_wanted(columns)}")
    useful = {*wanted, BESIDE_TEXT, BESIDE_SOURCE} if wanted else FIELDS
    return [name for name in names if name in useful]


Reader = Callable[[Path, Content, Columns], Rows]
"""Makes rows of the content of a file."""

READERS: dict[str, tuple[Reader, str]] = {
    ".txt": (_read_txt, "paragraph"),
    ".jsonl": (_read_jsonl, "line"),
    ".csv": (_read_csv, "line"),
    ".parquet": (_read_parquet, "row"),
}
"""For each extension the function that reads it, and the name of a row there."""
