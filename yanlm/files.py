"""Files of a run, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
