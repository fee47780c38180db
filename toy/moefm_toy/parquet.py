"""Opens the table of a parquet file: its columns without the row index, of the types that the caller takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moefm.installation import install
from moefm.reading import check_size
from moefm_toy.named_points import fail, load

INDEX = re.compile(r"__index_level_\d+__")
"""Names that pandas gives to row indices."""


def parquet_table(path: Path, content: bytes, fault: Callable[[str, Any], str | None]) -> Any:
    """The ``pyarrow.Table`` of a file.

    Args:
        path: The file, for messages.
        content: What it holds.
        fault: Says what is wrong with a column of this name and Arrow type, or None. Asked before anything is unpacked.

    Raises:
        DataError: pyarrow is missing, the file is damaged, two columns have one name, or ``fault`` found something.
        TooLargeError: It unpacks to more than the cap.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        fail(path, f"needs pyarrow to be read; {install('parquet')}", error)
    file = load(path, lambda: pq.ParquetFile(pa.BufferReader(content)))
    fields = [field for field in file.schema_arrow if not INDEX.fullmatch(field.name)]
    for field in fields:
        if wrong := fault(field.name, field.type):
            fail(path, wrong)
    names = [field.name for field in fields]
    if len(set(names)) < len(names):
        fail(path, "has several columns of one name; give each its own")
    check_size(8 * file.metadata.num_rows * len(names), "unpacks to")
    return load(path, lambda: file.read(names))
