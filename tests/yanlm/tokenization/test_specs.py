"""Tokenizers by what settings call them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yanlm.tokenization.specs import tokenizer_of, trained_size


def texts() -> list[str]:
    return ["the cat sat on the mat"] * 2


@pytest.mark.parametrize(("spec", "size"), [("bpe:270", 270), ("words:5", 5), ("words:99", 8)])
def test_trained(spec: str, size: int) -> None:
    assert len(tokenizer_of(spec, texts)) == size


def test_loaded_without_the_texts(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.save_pretrained(tmp_path)
    assert len(tokenizer_of(str(tmp_path), lambda: pytest.fail("no text is needed"))) == len(tokenizer)
    assert trained_size(str(tmp_path)) is None


@pytest.mark.parametrize("spec", ["bpe:many", "words:", "bpe", "words:-4", "bpe:4²"])
def test_sizes_that_are_no_numbers(spec: str) -> None:
    with pytest.raises(ValueError, match=f"tokenizer must be bpe:SIZE, words:SIZE, .*{spec}"):
        trained_size(spec)
