"""Encoding and decoding pieces of a text in their context: what comes before and after a piece affects its ids."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

from yanlm.tokenization.collation import Ids
from yanlm.tokenization.texts import well_formed
from yanlm.tokenization.tokenizer import decode, encode, encode_with_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

_LETTERS = "xqkabcdefghijlmnoprstuvwyzXQ7の東жع"


def encode_piece(
    tokenizer: PreTrainedTokenizerFast, text: str, *, before: str | None = "", following: str | None = None
) -> Ids:
    """Ids of a piece of a text, given what comes before and after it.

    Many tokenizers put a space before a text but not before its middle, or mark that a word continues. So the piece is
    read between two letters, and the tokens of the letters are cut off. If they cannot be cut off, as with words that
    are known only as a whole, the piece is read by itself.

    Args:
        tokenizer: Any.
        text: The piece.
        before: The characters before it, ``""`` for a word that is not known, ``None`` at the start.
        following: ``""`` where a word follows at once, ``" "`` where one follows after a space, ``None`` at the end.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a b a b"], 258)
        >>> encode_piece(tokenizer, " b") == encode(tokenizer, " b")
        True
    """
    text = well_formed(text)
    if not text or before is following is None:
        return encode(tokenizer, text) if text else []
    letters = _letters(tokenizer)
    for known, letter in [*((before, letter) for letter in letters[:1] if before), *zip(letters, letters, strict=True)]:
        left, right = "" if before is None else known, "" if following is None else following + letter
        start, end = len(left), len(left) + len(text)
        ids, places = encode_with_places(tokenizer, left + text + right)
        if not any(first < edge < last for first, last in places for edge in (start, end)):
            ends = [last for _, last in places]
            return ids[bisect_right(ends, start) if left else 0 : bisect_right(ends, end)]
    return encode(tokenizer, text)


def decode_piece(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    """Text of ids that follow others, with the space it then starts with.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a b a b"], 258)
        >>> decode_piece(tokenizer, encode(tokenizer, " b"))
        ' b'
    """
    for letter in _letters(tokenizer)[:1]:
        before = encode(tokenizer, letter)
        text = decode(tokenizer, [*before, *ids])
        if text.startswith(known := decode(tokenizer, before)):
            return text[len(known) :]
    return decode(tokenizer, ids)


def carries_space(tokenizer: PreTrainedTokenizerFast, id: int) -> bool:
    """Whether a token has a mark for the space before it, rather than getting one wherever it stands behind another.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a b a b"], 260)
        >>> [carries_space(tokenizer, id) for id in encode(tokenizer, "a b")]
        [False, True]
    """
    text = decode_piece(tokenizer, [id])
    return text[:1].isspace() and not str(tokenizer.convert_ids_to_tokens(id)).startswith(text.strip())


@lru_cache(maxsize=8)
def _letters(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Letters that the tokenizer can write, to stand for words around a piece."""
    known = []
    for letter in _LETTERS:
        ids = encode(tokenizer, letter)
        if ids and tokenizer.unk_token_id not in ids and decode(tokenizer, ids).strip().lower() == letter.lower():
            known.append(letter)
    return known
