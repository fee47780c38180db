"""Contents of small files, and what reading them gives."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.readers import read_rows
from yanlm.data.rows import DataError


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def zipped() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "text")
    return archive.getvalue()


def parquet(columns: dict[str, list[Any]]) -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def texts(path: Path, text_column: str | None = None) -> list[str]:
    return [row["text"] for row in read_rows(path, text_column).rows]


def fault(path: Path, text_column: str | None = None) -> str:
    """The message for a broken file, after the checks that hold for each of them."""
    with pytest.raises(DataError) as caught:
        read_rows(path, text_column)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def gzipped(content: bytes) -> bytes:
    """Packed without the time of day, which would give a test another name in every process that collects it."""
    return gzip.compress(content, mtime=0)


A, B = {"text": "One day."}, {"text": "Two days."}
