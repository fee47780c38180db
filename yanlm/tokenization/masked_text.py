"""Text with masks in it: its pieces between the masks, and the text with the masks filled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from yanlm.data.rows import MASKS
from yanlm.tokenization.collation import Ids
from yanlm.tokenization.pieces import carries_space, decode_piece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SPELLINGS = re.compile(r"\[mask\]|<mask>|<\|mask\|>", re.IGNORECASE)


def with_masks(text: str) -> str:
    """The text with ``<mask>`` for what other models call a mask: ``[MASK]`` and ``<MASK>``, in any case.

    Example:
        >>> with_masks("The [MASK] sat on the <MASK>.")
        'The <mask> sat on the <mask>.'
    """
    return _SPELLINGS.sub("<mask>", text)


def split_at_masks(text: str) -> list[str]:
    """Parts of ``text`` between its masks, each but the last without one space before the mask.

    Example:
        >>> split_at_masks(" the <mask> sat.")
        [' the', ' sat.']
    """
    *before, last = MASKS.split(text)
    return [*(part.removesuffix(" ") for part in before), last]


def spaces_at_masks(text: str) -> list[str]:
    """For every mask the space before it that belongs to the masked word, or nothing.

    Example:
        >>> spaces_at_masks("the <mask> (<mask>) sat")
        [' ', '']
    """
    return [" " if part.endswith(" ") else "" for part in MASKS.split(text)[:-1]]


def fill(tokenizer: PreTrainedTokenizerFast, text: str, spans: Sequence[Ids]) -> str:
    """The text with ``spans`` in the places of its masks; the characters around the masks stay as they are.

    The space before a mask belongs to the word written there, and is dropped if nothing is written. If the words of a
    tokenizer carry no spaces, only the text decides. If there is one span more than masks, it goes after the text.

    Args:
        tokenizer: Tokenizer of the spans.
        text: With a mask for every span, or for all but the last.
        spans: Ids without padding.

    Raises:
        ValueError: There is not one span for each mask.

    Example:
        >>> from yanlm.tokenization.tokenizer import encode, train_tokenizer
        >>> tokenizer = train_tokenizer(["ab ab"], 258)
        >>> fill(tokenizer, "x (<mask>) y", [encode(tokenizer, "a"), encode(tokenizer, " b")])
        'x (a) y b'
    """
    text = with_masks(text)
    pieces = split_at_masks(text)
    spaces: list[str | None] = [*spaces_at_masks(text)]
    if len(spans) == len(pieces):
        spaces.append(None)
        pieces.append("")
    if len(spans) != len(spaces):
        raise ValueError(f"spans must hold one for each of the {len(spaces)} masks, or one more, got {len(spans)}")
    filled, first = pieces[0], 0
    while first < len(spans):
        last = first + 1
        while last < len(spans) and not pieces[last]:  # characters may go on from one span to the next
            last += 1
        ids = [id for span in spans[first:last] for id in span]
        words = _spaced(tokenizer, ids, spaces[first], filled)
        filled += (words if pieces[last] or last < len(spans) else words.rstrip()) + pieces[last]
        first = last
    return filled


def _spaced(tokenizer: PreTrainedTokenizerFast, ids: Ids, space: str | None, before: str) -> str:
    """Words for a mask behind the text ``before``, with the space between them; ``None`` for words behind a text."""
    words = decode_piece(tokenizer, ids)
    if not before:
        return (space or "") + words.lstrip()
    if space is None:
        return words.lstrip() if before[-1].isspace() else words
    if space and words and not words[0].isspace():
        return space + words
    if not space and ids and not carries_space(tokenizer, ids[0]):
        return words.lstrip()
    return words
