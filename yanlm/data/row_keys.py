"""Hashes of rows: they choose the rows that are held out, and tell one corpus from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from yanlm.data.rows import trained

_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
KEY_BYTES = 16


def row_key(row: Mapping[str, Any]) -> bytes:
    """What rows of one text share: a hash of the context, source or text, whatever its case and white space.

    Example:
        >>> row_key({"text": "Once upon a time"}) == row_key({"text": "once  upon a time"})
        True
    """
    return text_hash(row.get("context") or row.get("question") or row.get("source") or row.get("text", ""))


def text_hash(text: str) -> bytes:
    """Hash of a text whatever its case and white space, ``KEY_BYTES`` long."""
    return hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=KEY_BYTES).digest()


def canonical(row: Mapping[str, Any]) -> str:
    """The fields of a row that are trained on, as JSON; the same for equal rows.

    Example:
        >>> canonical({"text": "Dull .", "label": "bad", "id": 3})
        '{"label": "bad", "text": "Dull ."}'
    """
    if row.keys() == {"text"}:  # by far the most, in large files
        return f'{{"text": {encode_basestring(row["text"])}}}'
    return _CANONICAL.encode(trained(row))
