"""How many rows an evaluation takes: all of them, a sample, or as many as a time allows."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from yanlm.data.rows import kind_of
from yanlm.evaluation.held_out import HELD_OUT, Row

FIRST = 20
"""Rows that are evaluated whatever the time; they give the first estimate of the pace."""

GROWTH = 4
"""How many times larger than all before it a portion may be: the pace of a few rows says little about many."""

T = TypeVar("T")


def sample_order(count: int) -> list[int]:
    """Places of all rows in random order; its beginnings are the samples, so a smaller one is part of a larger one.

    Example:
        >>> sorted(sample_order(5)), sample_order(5) == sample_order(5)
        ([0, 1, 2, 3, 4], True)
    """
    order = list(range(count))
    random.Random(HELD_OUT).shuffle(order)
    return order


def sample(rows: Sequence[T], most: int) -> list[T]:
    """At most so many rows, in random order: files are often sorted, by label for example.

    Example:
        >>> rows = [{"text": str(i)} for i in range(9)]
        >>> len(sample(rows, 4)), sample(rows, 4) == sample(rows, 20)[:4]
        (4, True)
    """
    return [rows[place] for place in sample_order(len(rows))[:most]]


def repeated(rows: Sequence[Row], count: int) -> list[Row]:
    """``count`` held-out rows (:func:`sample`). If there are fewer texts, each comes several times, with new masks.

    Example:
        >>> len(repeated([{"text": "a b"}] * 3, 7)), len(repeated([{"context": "", "question": "", "answer": ""}], 7))
        (7, 1)
    """
    drawn = sample(rows, count)
    if not drawn or any(kind_of(row) != "text" for row in rows):
        return drawn  # a question is asked in one way
    return [drawn[i % len(drawn)] for i in range(count)]


def texts_of(rows: Sequence[Row]) -> list[Any]:
    """What tells held-out rows apart: their text, which may come several times, or their place if they are no texts.

    Example:
        >>> texts_of([{"text": "a b"}, {"text": "a b"}, {"text": "a b", "label": "c"}])
        ['a b', 'a b', 2]
    """
    return [row["text"] if kind_of(row) == "text" else place for place, row in enumerate(rows)]


def rows_said(rows: int, texts: int | None) -> str:
    """How many held-out rows there are, and of how many texts if that is another number.

    Example:
        >>> rows_said(300, 4), rows_said(300, None)
        ('300 held-out rows of 4 different texts', '300 held-out rows')
    """
    different = "" if texts in (None, rows) else f" of {texts:,} different text{'s' * (texts != 1)}"
    return f"{rows:,} held-out rows{different}"


class Portions:
    """Ranges of rows, one after the other, until all are done or the time is up.

    Args:
        count: Rows that there are.
        seconds: Time for them; ``None`` for all rows in one portion.

    Attributes:
        done: Rows of the portions that are over.
        expected: Expected number of rows at the pace so far.

    Example:
        >>> [len(portion) for portion in Portions(100)], sum(map(len, Portions(100, seconds=1e-9)))
        ([100], 20)
    """

    def __init__(self, count: int, seconds: float | None = None) -> None:
        self.count, self.seconds, self.done = count, seconds, 0
        self.expected = count if seconds is None else min(FIRST, count)

    def __iter__(self) -> Iterator[range]:
        began, size = time.perf_counter(), self.expected
        while size:
            yield range(self.done, self.done + size)
            self.done += size
            size = self._next(time.perf_counter() - began)

    def _next(self, took: float) -> int:
        """Rows of the next portion."""
        left = self.count - self.done
        if self.seconds is None or not left:
            return 0
        room = min(left, int((self.seconds - took) * self.done / max(took, 1e-9)))
        if room < min(FIRST, left):
            return 0
        self.expected = self.done + room
        return min(room, GROWTH * self.done)
