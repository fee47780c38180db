"""Rows to token ids to batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.tokenization.collation import Batch as Batch
    from yanlm.tokenization.collation import Example as Example
    from yanlm.tokenization.examples import Builder as Builder
    from yanlm.tokenization.masking import Masking as Masking
    from yanlm.tokenization.tokenizer import decode as decode
    from yanlm.tokenization.tokenizer import encode as encode
    from yanlm.tokenization.tokenizer import load_tokenizer as load_tokenizer
    from yanlm.tokenization.tokenizer import mask_id as mask_id
    from yanlm.tokenization.tokenizer import pad_id as pad_id
    from yanlm.tokenization.tokenizer import train_tokenizer as train_tokenizer

_HOMES = {
    "Batch": "collation",
    "Builder": "examples",
    "Example": "collation",
    "Masking": "masking",
    "decode": "tokenizer",
    "encode": "tokenizer",
    "load_tokenizer": "tokenizer",
    "mask_id": "tokenizer",
    "pad_id": "tokenizer",
    "train_tokenizer": "tokenizer",
}

__all__ = [
    "Batch",
    "Builder",
    "Example",
    "Masking",
    "decode",
    "encode",
    "load_tokenizer",
    "mask_id",
    "pad_id",
    "train_tokenizer",
]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)
