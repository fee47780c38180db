"""Where the sentences of a text and its last word are, as spans of characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Span = tuple[int, int]
"""Start and end of a piece of text."""

_CLOSING = "\"'”’)]}»"
# A run of marks is read once, from its first mark: without ++ and *+ twenty thousand dots take a minute.
_END = re.compile(rf"(?<![.!?…])[.!?…]++[{re.escape(_CLOSING)}]*+(?=\s)|[。！？][”』」]*")
_SHORT = re.compile(r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|No|vs|etc|e\.g|i\.e))\.$")
_OPENS = "\"'“‘([{«—-"
_AROUND = ".,;:!?…。，！？" + _CLOSING + _OPENS + "–_*"


def sentence_spans(text: str) -> list[Span]:
    """Sentences of a text, each without the white space around it.

    A sentence ends at ``.``, ``!`` or ``?``, with the quotes and brackets that it closes, before white space; not after
    an initial or a title such as Mr., nor before a word in lower case, unless the whole text is in lower case.

    Example:
        >>> text = '"Where is he?" asked Mr. Fox. Nobody knew. It was late.'
        >>> [text[start:end] for start, end in sentence_spans(text)]
        ['"Where is he?" asked Mr. Fox.', 'Nobody knew.', 'It was late.']
    """
    cased = text != text.lower()
    spans: list[Span] = []
    start = 0
    for mark in _END.finditer(text):
        rest = text[mark.end() : mark.end() + 40].lstrip().lstrip(_OPENS)
        inside = cased and rest[:1].islower()
        if inside or (mark.group() == "." and _SHORT.search(text, max(0, mark.end() - 6), mark.end())):
            continue
        spans.append((start, mark.end()))
        start = mark.end()
    spans.append((start, len(text)))
    return [_stripped(text, *span) for span in spans if any(map(str.isalnum, text[slice(*span)]))]


def sentence_runs(text: str, fewest: Callable[[], int]) -> Iterator[tuple[str, int]]:
    """A text in runs of whole sentences, each with its number of words; the last may be shorter.

    Args:
        text: The text.
        fewest: Asked at the beginning of each run for the number of words whose sentence ends it.

    Example:
        >>> list(sentence_runs("He ran. She ran after him. They met.", lambda: 3))
        [('He ran. She ran after him.', 6), ('They met.', 2)]
    """
    start, end, wanted, words = None, 0, 0, 0
    for begin, end in sentence_spans(text):
        if start is None:
            start, wanted, words = begin, fewest(), 0
        words += len(text[begin:end].split())
        if words >= wanted:
            yield text[start:end], words
            start = None
    if start is not None:
        yield text[start:end], words


def _stripped(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())


def last_word_span(text: str) -> Span | None:
    """The last word of a text between white space, without the punctuation around it; None if there is no word.

    Example:
        >>> text = 'Then she said: "Good-bye, Tom!"'
        >>> text[slice(*last_word_span(text))]
        'Tom'
    """
    end = len(text)
    while end and (text[end - 1].isspace() or text[end - 1] in _AROUND):
        end -= 1
    start = end
    while start and not text[start - 1].isspace():
        start -= 1
    while start < end and text[start] in _AROUND:
        start += 1
    return (start, end) if end else None
