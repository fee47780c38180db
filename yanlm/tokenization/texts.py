"""Texts as tokenizers take them: whole characters, and never a single string in place of several."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

BROKEN = "\ufffd"
"""What a tokenizer decodes a part of a character to."""


def checked_texts(texts: Iterable[str]) -> Iterator[str]:
    """The texts that a tokenizer is trained on, each :func:`well_formed`.

    Raises:
        TypeError: ``texts`` is a single string; or, when it is read, one of them is not a string.

    Example:
        >>> list(checked_texts(["the cat", "the mat"]))
        ['the cat', 'the mat']
    """
    if isinstance(texts, str | bytes):
        raise TypeError("texts must be a list or iterator of strings, got a single string; put it into a list")
    return map(_checked, itertools.count(), texts)


def _checked(place: int, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"texts must hold strings, got {type(text).__name__} at position {place}")
    return well_formed(text)


def well_formed(text: str) -> str:
    """The text with halves of surrogate pairs put together, or replaced by U+FFFD if one stands alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
