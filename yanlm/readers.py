"""Reads text from .txt, .jsonl, .csv and .parquet files into rows: plain dicts of strings.

A row is of one of four kinds, by its fields: ``{"context", "question", "answer"}`` (qa), ``{"source", "target"}``
(seq2seq), ``{"text", "label"}`` (classify) or ``{"text"}`` (text). Rows that cannot be used are skipped and named with
their line; a file that cannot be used is one :class:`DataError` of one line with the file, the fault and the remedy.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

Row = dict[str, str]
"""A training example: strings by the names of their fields."""

KINDS: dict[str, tuple[str, ...]] = {
    "qa": ("context", "question", "answer"),
    "seq2seq": ("source", "target"),
    "classify": ("text", "label"),
    "text": ("text",),
}
"""The fields of a row of each kind; the first kind whose fields are all there is what the row is."""

_FORMS = "'text', 'text' and 'label', 'context', 'question' and 'answer', or 'source' and 'target'"
_MAY_BE_BLANK = ("context",)  # a question may stand alone
_MAY_BE_NUMBERS = ("answer", "label")
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


class DataError(ValueError):
    """Data that cannot be used: one line that names the file or data set, the fault and the remedy."""


class Table(NamedTuple):
    """What a file holds: rows, where each came from, and what was skipped as ``file:line: reason``."""

    rows: list[Row]
    skipped: list[str]
    notes: list[str]


Rows = Iterator[tuple[int, Row | DataError]]


def kind_of(row: Mapping[str, str]) -> str:
    """The kind of a row by its fields.

    Raises:
        DataError: No kind has these fields.

    Example:
        >>> kind_of({"text": "Dull and long .", "label": "negative"})
        'classify'
    """
    for kind, fields in KINDS.items():
        if all(field in row for field in fields):
            return kind
    raise DataError(f"a row needs the fields {_FORMS}; got {', '.join(map(repr, row)) or 'none'}")


def row_of(record: Any, text_column: str | None = None) -> Row:
    """The row that a record of a file or data set holds; fields of no use to its kind are left out.

    Args:
        record: A mapping from names to values.
        text_column: The name of the text's field where it is not ``text``.

    Raises:
        DataError: It is no mapping, or a field is missing, blank, of another type or not valid Unicode.

    Example:
        >>> row_of({"body": " Once upon a time. ", "url": "a"}, text_column="body")
        {'text': 'Once upon a time.'}
    """
    if not isinstance(record, Mapping):
        raise DataError(f"holds a {_json_type(record)}, not an object with named fields")
    if text_column is not None:
        if text_column not in record:
            raise DataError(f"has no field '{text_column}' (fields there: {_names(record)})")
        record = {"text": record[text_column], **({"label": record["label"]} if "label" in record else {})}
    for fields in KINDS.values():
        if all(field in record for field in fields):
            return {field: _field(field, record[field]) for field in fields}
    raise DataError(f"lacks the fields {_FORMS} (fields there: {_names(record)})")


def outcome(record: Any, text_column: str | None = None) -> Row | DataError:
    """The row that a record holds, or why it holds none: :func:`row_of` without raising."""
    try:
        return row_of(record, text_column)
    except DataError as error:
        return error


def _field(name: str, value: Any) -> str:
    if name in _MAY_BE_NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f"field '{name}' is a {_json_type(value)}, not a string")
    text = value.strip()
    if not text and name not in _MAY_BE_BLANK:
        raise DataError(f"field '{name}' is blank")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which no tokenizer takes
            raise DataError(f"field '{name}' holds half of a surrogate pair (a broken \\u escape)") from None
    return text


def _json_type(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _names(record: Iterable[Any]) -> str:
    names = [name if len(name) <= 40 else f"{name[:37]}..." for name in map(str, record)]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"


def read_rows(path: str | Path, text_column: str | None = None) -> Table:
    """Reads a .txt, .jsonl, .csv or .parquet file; the first three also as .gz.

    - `.txt`: a text is a paragraph between blank lines, its lines joined; without blank lines each line is one.
    - `.jsonl`: an object a line. `.csv`: UTF-8, a header, columns separated by tab, semicolon or comma (the first of
      these in the header). `.parquet`: needs pyarrow.

    Args:
        path: The file; its extension says how it is read. A mark of UTF-8 at its start and CRLF are accepted.
        text_column: The name of the text's field or column where it is not ``text``.

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
    read, unit = _READERS.get(suffix.removesuffix(".gz"), (None, ""))
    if read is None or suffix == ".parquet.gz":
        _check_path(path)
        given = f"has the extension '{suffix}'" if suffix else "has no extension"
        _fail(path, f"{given}; accepted are .txt, .jsonl, .csv (each also with .gz) and .parquet")
    content = _content(path)
    fault = ""
    if suffix != ".parquet":
        content, fault = _unpacked(path, content)
        content = content.removeprefix(codecs.BOM_UTF8)
        _check_text(path, content)
    rows: list[Row] = []
    skipped: list[str] = []
    for line, row in read(path, content, text_column):
        if isinstance(row, DataError):
            skipped.append(f"{path}:{line}: {row}")
        else:
            rows.append(row)
    if len(skipped) > len(rows):
        reason = skipped[0].removeprefix(f"{path}:")
        name_it = "fields there" in reason and text_column is None
        remedy = "name the text's field with --text-column" if name_it else "correct the file"
        bad = f"{len(skipped)} of {len(skipped) + len(rows)} {unit}s cannot be used"
        _fail(path, f"{bad}, the first is {unit} {reason}; {remedy}")
    if not rows:
        _fail(path, "holds no text, only white space or a header; it needs at least one text")
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


def _fail(path: Path, fault: str, cause: BaseException | None = None) -> NoReturn:
    raise DataError(" ".join(f"{path}: {fault}".split())) from cause


def _check_path(path: Path) -> None:
    if os.path.isdir(path):  # unlike those of Path, these never raise
        inside = next((entry.name for entry in sorted(path.glob("train.*"))), "train.jsonl.gz")
        _fail(path, f"is a folder; give one file, such as {path / inside}")
    if not os.path.exists(path):
        _fail(path, "does not exist; check the path")


def _content(path: Path) -> bytes:
    try:
        _check_path(path)
        content = path.read_bytes()
    except OSError as error:
        _fail(path, f"cannot be read ({error.strerror or error}); check the path and its permissions", error)
    except MemoryError as error:
        _fail(path, "does not fit into memory; split it, or put its parts in a folder and stream hf:FOLDER", error)
    if not content:
        _fail(path, "is empty (0 bytes); it needs at least one text")
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
        _fail(path, f"{fault}, before its first line was over; copy it again")
    if not text:
        _fail(path, "is empty (0 bytes once unpacked); it needs at least one text")
    return bytes(text), fault


def _check_text(path: Path, content: bytes) -> None:
    for magic, kind, remedy in _MAGIC:
        if content.startswith(magic):
            _fail(path, f"is {kind} by its content; {remedy}")
    zero = content.find(b"\0")
    if zero >= 0:
        line = content.count(b"\n", 0, zero) + 1
        _fail(path, f"line {line} holds a zero byte (byte {zero}): binary data, not text; save it as UTF-8 text")


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = f"line {line} is not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}, Latin-1 perhaps)"
        _fail(path, f"{fault}; save it as UTF-8, for example with iconv -f latin1 -t utf-8", error)


def _read_txt(path: Path, content: bytes, text_column: str | None) -> Rows:
    lines = _decoded(path, content).splitlines()
    if lines and lines[0].startswith("{") and isinstance(next(_read_jsonl(path, lines[0].encode(), None))[1], dict):
        _fail(path, "holds JSON, an object a line; rename it to .jsonl")
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


def _read_jsonl(path: Path, content: bytes, text_column: str | None) -> Rows:
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
            yield number, outcome(record, text_column)


def _read_csv(path: Path, content: bytes, text_column: str | None) -> Rows:
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
                    _fail(path, f"line {number} is not a CSV header ({error}); name the columns there", error)
                open_quote = "a quote opened here is never closed, the rest of the file is lost"
                yield number, DataError(f"not CSV ({open_quote if 'end of data' in str(error) else error})")
                continue
            if not any(map(str.strip, cells)):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_columns(path, header, text_column)
            elif len(cells) != len(header):
                yield number, DataError(f"has {len(cells)} columns, {len(header)} expected")
            else:
                yield number, outcome(dict(zip(header, cells, strict=True)), text_column)
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path, content: bytes, text_column: str | None) -> Rows:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        _fail(path, "needs pyarrow to be read; pip install 'moefm[parquet]'", error)
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        columns = _check_columns(path, file.schema_arrow.names, text_column)
        records = [record for batch in file.iter_batches(columns=columns) for record in batch.to_pylist()]
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        _fail(path, f"is damaged or not a parquet file ({error}); save it again", error)
    for number, record in enumerate(records, 1):
        yield number, outcome(record, text_column)


def _check_columns(path: Path, names: list[str], text_column: str | None) -> list[str]:
    """The columns of use, or the error that lists those there are."""
    if text_column is not None and text_column not in names:
        _fail(path, f"has no column '{text_column}' (columns there: {_names(names)}); correct --text-column")
    wanted = [("text" if text_column is None else text_column, "label"), *KINDS.values()]
    if text_column is None and not any(all(name in names for name in fields) for fields in KINDS.values()):
        lacking = f"has no columns {_FORMS} (columns there: {_names(names)})"
        _fail(path, f"{lacking}; name the text's column with --text-column")
    return [name for name in names if any(name in fields for fields in wanted)]


_READERS: dict[str, tuple[Callable[[Path, bytes, str | None], Rows], str]] = {
    ".txt": (_read_txt, "paragraph"),
    ".jsonl": (_read_jsonl, "line"),
    ".csv": (_read_csv, "line"),
    ".parquet": (_read_parquet, "row"),
}
