"""Ids of texts kept for the next epoch: tokenizing a text takes longer than looking it up."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from yanlm.tokenization.collation import Ids
from yanlm.tokenization.pieces import encode_piece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MOST_BYTES = 2**26
_SHORT = 2**16  # ids below it take two bytes, others four


class TokenCache:
    """Ids of pieces of texts, kept until there are too many; then a share of each epoch is among them.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> cache = TokenCache(train_tokenizer(["ab ab"], 258))
        >>> cache.ids("ab") == cache.ids("ab"), cache.size
        (True, 2)
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.size = 0
        self._code = "H" if len(tokenizer) <= _SHORT else "i"
        self._most = MOST_BYTES // array(self._code).itemsize
        self._known: dict[tuple[str, str | None, str | None], array[int]] = {}

    def ids(self, text: str, before: str | None = None, following: str | None = None) -> Ids:
        """Ids of a piece; see :func:`yanlm.tokenization.pieces.encode_piece`."""
        key = text, before, following
        if (known := self._known.get(key)) is not None:
            return known.tolist()
        ids = encode_piece(self.tokenizer, text, before=before, following=following)
        if self.size + len(ids) <= self._most:
            self._known[key] = array(self._code, ids)
            self.size += len(ids)
        return ids
