"""What stands around each mask of a held-out text, what was written into it, and what belongs there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import TypedDict

from yanlm.evaluation.held_out import marked_text, masked_positions
from yanlm.files import printable
from yanlm.tokenization.collation import Example
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.pieces import decode_piece
from yanlm.tokenization.texts import BROKEN
from yanlm.tokenization.tokenizer import decode


class Window(TypedDict):
    """A mask and its surroundings; the four together are a text, spaces included."""

    before: str
    written: str
    truth: str
    after: str


def windows(builder: Builder, example: Example, ids: Sequence[int]) -> list[Window]:
    """One window for each masked span of an example, in the order of the text.

    Args:
        builder: Made the example.
        example: A held-out text.
        ids: Its target, as a model wrote it; what stands around a mask is taken from it.

    Example:
        >>> from yanlm.tokenization.tokenizer import encode, train_tokenizer
        >>> tokenizer = train_tokenizer(["a b c a b c"], 270)
        >>> builder, target = Builder(tokenizer), encode(tokenizer, "a b c")
        >>> source = [*target[:1], tokenizer.mask_token_id, *target[2:]]
        >>> windows(builder, Example(source, target, [1], [1]), encode(tokenizer, "a c c"))
        [{'before': 'a', 'written': ' c', 'truth': ' b', 'after': ' c'}]
    """
    tokenizer, target = builder.tokenizer, example.target
    spans = _runs(masked_positions(example, builder))
    if spans == [(0, len(target))] and builder.form == "separate":  # an answer: its text is the source
        before, _, after = marked_text(builder, example.source, repeat(" <mask>")).partition(" <mask>")
        written, truth = (" " + decode(tokenizer, tokens).strip() for tokens in (ids, target))
        return [Window(before=before, written=written, truth=truth, after=after)]

    def piece(tokens: Sequence[int], start: int) -> str:
        """With the space before it, which only the text as a whole has if tokens are whole words."""
        before, whole = decode(tokenizer, ids[:start]), decode(tokenizer, [*ids[:start], *tokens])
        return whole[len(before) :] if whole.startswith(before) else decode_piece(tokenizer, tokens)

    return [
        Window(
            before=decode(tokenizer, ids[:start]),
            written=piece(ids[start:end], start),
            truth=piece(target[start:end], start),
            after=piece(ids[end:], end),
        )
        for start, end in spans
    ]


def prompt_of(window: Window, most: int = 60) -> str:
    """A text for a command to try: some whole words around one mask.

    A mask inside a word takes up the whole word. A text may have been cropped inside a word, so its first word is left
    out, and its last one unless it ends a sentence. What lies beyond half of a character is left out, too.

    Example:
        >>> prompt_of({"before": "Once a small d", "written": "ig", "truth": "og", "after": "s bone lay there."})
        'a small <mask> bone lay there.'
    """
    before, truth, after = window["before"], window["truth"], window["after"]
    if " " not in before + truth + after:  # a script without spaces
        before, after = before.rstrip(BROKEN).split(BROKEN)[-1], after.lstrip(BROKEN).split(BROKEN)[0]
        return f"{printable(before[-most:])}<mask>{printable(after[: most // 2])}"
    left, right = before.split(" ")[1:], after.split(" ")[1:]
    if not truth[:1].isspace():
        left = left[:-1]  # the beginning of the masked word
    if right and right[-1][-1:].isalnum():
        right = right[:-1]
    return " ".join([*_fitting(left[::-1], most)[::-1], "<mask>", *_fitting(right, most // 2)])


def _fitting(words: Sequence[str], room: int) -> list[str]:
    """The first words that fit, up to one that a terminal would not show as it is, or that holds half a character."""
    fit: list[str] = []
    for word in words:
        room -= len(word) + 1
        if room < 0 or word != printable(word) or BROKEN in word:
            break
        fit.append(word)
    return fit


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of positions that follow one another.

    Example:
        >>> _runs([2, 3, 7])
        [(2, 4), (7, 8)]
    """
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs
