"""What a stage is built from."""

from __future__ import annotations

from typing import Any

import pytest

from yanlm.data.corpus import load_corpus
from yanlm.runs.settings import resolve
from yanlm.runs.setup import make_tokenizer


def test_tokenizers_as_asked_for(tmp_path: Any, tokenizer: Any) -> None:
    corpus = load_corpus("builtin:rooms")
    assert len(make_tokenizer(resolve({"minutes": 1, "tokenizer": "bpe:300"}), corpus)) == 300
    tokenizer.save_pretrained(tmp_path)
    assert len(make_tokenizer(resolve({"minutes": 1, "tokenizer": str(tmp_path)}), corpus)) == len(tokenizer)
    with pytest.raises(ValueError, match="bpe:SIZE"):
        make_tokenizer(resolve({"minutes": 1, "tokenizer": "bpe:many"}), corpus)
