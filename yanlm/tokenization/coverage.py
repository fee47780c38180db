"""Which characters of a text a tokenizer cannot write: unknown ones, and those that it changes in reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from yanlm.data.rows import MASKS
from yanlm.tokenization.masked_text import with_masks
from yanlm.tokenization.tokenizer import decode, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MOST_TEXTS = 1000
MOST_CHARACTERS = 200_000  # a fifth of a second


def lost_characters(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> tuple[float, Counter[str]]:
    """Share of the characters that are lost when texts are encoded and decoded, and how often each is lost.

    The first thousand texts are looked at, up to 200,000 characters. Masks count for nothing.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> lost_characters(train_tokenizer(["a b a b"], 258), ["any text: é, 東, 😀"])
        (0.0, Counter())
    """
    lost, total = Counter[str](), 0
    for text in islice(texts, MOST_TEXTS):
        parts = (part.strip(" ") for part in MASKS.split(with_masks(text)))  # or two spaces would remain of a mask
        text = " ".join(part for part in parts if part)[: MOST_CHARACTERS - total]
        written = decode(tokenizer, encode(tokenizer, text))
        if written != text:
            lost += Counter(text) - Counter(written)
        total += len(text)
        if total >= MOST_CHARACTERS:
            break
    return lost.total() / max(1, total), lost


def coverage_note(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> str | None:
    """A note for the user about characters that the tokenizer cannot write, if there are any.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> coverage_note(train_tokenizer(["a b a b"], 258), ["any text"]) is None
        True
    """
    share, lost = lost_characters(tokenizer, texts)
    if not lost:
        return None
    often = ", ".join(repr(character) for character, _ in lost.most_common(5))
    return (
        f"the tokenizer cannot write {max(share, 0.0001):.2%} of the characters of this text (most often {often}): "
        "the model does not see them as they are and never writes them"
    )
