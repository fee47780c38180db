"""Corpora from files of a few rows, and the message where there is none."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.corpus import Corpus, load_corpus
from yanlm.data.rows import DataError, Row


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def numbered(n: int, name: str = "") -> list[Row]:
    return [{"text": f"{name} text number {k}".strip()} for k in range(n)]


def load(*specs: object, **options: Any) -> tuple[Corpus, list[str]]:
    notes: list[str] = []
    corpus = load_corpus([str(spec) for spec in specs], on_note=notes.append, **options)
    assert all("\n" not in note for note in notes)
    return corpus, notes


def fault(*specs: object, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_corpus([str(spec) for spec in specs], **options)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError) and "\n" not in message
    return message
