"""Tokenizers as settings name them: ``bpe:SIZE`` and ``words:SIZE`` are trained on the data, all others are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from yanlm.tokenization.tokenizer import load_tokenizer, train_tokenizer
from yanlm.tokenization.word_tokenizer import train_word_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TRAINED = {"bpe": train_tokenizer, "words": train_word_tokenizer}
"""Functions that train the tokenizers named as ``bpe:SIZE``."""


def trained_size(spec: str) -> int | None:
    """Most tokens of a tokenizer that is trained on the data; ``None`` if the spec names one to load.

    Raises:
        ValueError: The size is missing, or not a whole number.

    Example:
        >>> trained_size("words:64"), trained_size("llama3")
        (64, None)
    """
    kind, _, size = spec.partition(":")
    if kind not in TRAINED:
        return None
    if not size.isdecimal():
        raise ValueError(f"tokenizer must be bpe:SIZE, words:SIZE, a folder, a file or a name, got {spec!r}")
    return int(size)


def tokenizer_of(spec: str, texts: Callable[[], Iterable[str]]) -> PreTrainedTokenizerFast:
    """The tokenizer that a spec names.

    Args:
        spec: ``bpe:SIZE``, ``words:SIZE``, or what :func:`yanlm.tokenization.tokenizer.load_tokenizer` takes.
        texts: Gives the texts to train it on; not called if it is loaded.

    Raises:
        ValueError: The size is no number or too small, or there is no such tokenizer.

    Example:
        >>> len(tokenizer_of("words:64", lambda: ["the cat sat on the mat"]))
        8
    """
    size = trained_size(spec)
    return load_tokenizer(spec) if size is None else TRAINED[spec.partition(":")[0]](texts(), size)
