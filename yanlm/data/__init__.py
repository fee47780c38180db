"""What ``--data`` names, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.data.corpus import Corpus as Corpus
    from yanlm.data.corpus import load_corpus as load_corpus
    from yanlm.data.loader import RowStream as RowStream
    from yanlm.data.readers import read_rows as read_rows
    from yanlm.data.rows import DataError as DataError
    from yanlm.data.rows import Row as Row
    from yanlm.data.rows import kind_of as kind_of
    from yanlm.data.rows import row_of as row_of
    from yanlm.data.sources import Source as Source

_HOMES = {
    "Corpus": "corpus",
    "DataError": "rows",
    "Row": "rows",
    "RowStream": "loader",
    "Source": "sources",
    "kind_of": "rows",
    "load_corpus": "corpus",
    "read_rows": "readers",
    "row_of": "rows",
}

__all__ = ["Corpus", "DataError", "Row", "RowStream", "Source", "kind_of", "load_corpus", "read_rows", "row_of"]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)
