"""What the content of a file holds, by its format: rows, or why there is none, each with its line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from yanlm.data.hub_records import FIELDS, known, outcomes
from yanlm.data.rows import FORMS, Columns, DataError, Row, columns_wanted, listed

Rows = Iterator[tuple[int, Row | DataError]]


def fail(path: Path, fault: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the :class:`DataError` of a file that cannot be used."""
    raise DataError(" ".join(f"{path}: {fault}".split())) from cause


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = f"line {line} is not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}, Latin-1 perhaps)"
        fail(path, f"{fault}; save it as UTF-8, for example with iconv -f latin1 -t utf-8", error)


def _read_txt(path: Path, content: bytes, columns: Columns) -> Rows:
    if isinstance(columns, tuple):
        fail(path, "is plain text without fields; leave out --source-field and --target-field, or give a .jsonl file")
    lines = _decoded(path, content).splitlines()
    if lines and lines[0].startswith("{") and isinstance(next(_read_jsonl(path, lines[0].encode(), None))[1], dict):
        fail(path, "holds JSON, an object a line; rename it to .jsonl")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        return
    # one text a line, unless a blank line stands between two that are not
    joined = filled[-1] - filled[0] >= len(filled)
    paragraph: list[str] = []
    for number, after in zip(filled, [*filled[1:], -1], strict=True):
        paragraph.append(lines[number].strip())
        if not joined or after != number + 1:
            yield number + 1, {"text": " ".join(paragraph)}
            paragraph = []


def _read_jsonl(path: Path, content: bytes, columns: Columns) -> Rows:
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
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


def _read_csv(path: Path, content: bytes, columns: Columns) -> Rows:
    text = _decoded(path, content)
    first = re.sub(r'"[^"]*"', "", next((line for line in text.splitlines() if line.strip()), ""))
    delimiter = next((mark for mark in "\t;" if mark in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    header: list[str] | None = None
    limit = csv.field_size_limit(max(len(text), 1))  # its own limit is 131072 characters a cell
    try:
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if header is None:
                    fail(path, f"line {number} is not a CSV header ({error}); name the columns there", error)
                open_quote = "a quote opened here is never closed, the rest of the file is lost"
                yield number, DataError(f"not CSV ({open_quote if 'end of data' in str(error) else error})")
                continue
            if not any(map(str.strip, cells)):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_columns(path, header, columns)
            elif len(cells) != len(header):
                yield number, DataError(f"has {len(cells)} columns, {len(header)} expected")
            else:
                for row in outcomes(dict(zip(header, cells, strict=True)), columns):
                    yield number, row
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path, content: bytes, columns: Columns) -> Rows:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        fail(path, "needs pyarrow to be read; pip install 'moefm[parquet]'", error)
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        useful = _check_columns(path, file.schema_arrow.names, columns)
        records = [record for batch in file.iter_batches(columns=useful) for record in batch.to_pylist()]
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        fail(path, f"is damaged or not a parquet file ({error}); save it again", error)
    for number, record in enumerate(records, 1):
        for row in outcomes(record, columns):
            yield number, row


def _check_columns(path: Path, names: list[str], columns: Columns) -> list[str]:
    """The columns of use, or the error that lists those there are."""
    wanted = (columns,) if isinstance(columns, str) else columns or ()
    for name in wanted:
        if name not in names:
            fail(path, f"has no column '{name}' (columns there: {listed(names)}); {columns_wanted(columns)}")
    if columns is None and not known(names):
        lacking = f"has no columns {FORMS} (columns there: {listed(names)})"
        fail(path, f"{lacking}; name the text's column with --text-column")
    useful = {*wanted, "label"} if wanted else FIELDS
    return [name for name in names if name in useful]


READERS: dict[str, tuple[Callable[[Path, bytes, Columns], Rows], str]] = {
    ".txt": (_read_txt, "paragraph"),
    ".jsonl": (_read_jsonl, "line"),
    ".csv": (_read_csv, "line"),
    ".parquet": (_read_parquet, "row"),
}
"""For each extension what reads it, and what a row is called there."""
