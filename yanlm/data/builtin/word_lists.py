"""Lists of different words, of which another list is to be made: ``shuffle : a b c = <mask> <mask> <mask> .``"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from yanlm.data.builtin.drawing import check_drawn, split_by_hash
from yanlm.data.builtin.puzzle import Puzzle, completed
from yanlm.data.builtin.setting import setting
from yanlm.data.rows import DataError

_WORDS = """
ant bat bee bird calf cat cow crab crow deer dog dove duck eel elk fish fly fox frog goat hare hawk hen horse lamb lion
mole moth mouse mule newt owl pig pony rat seal sheep shrew slug snail swan toad trout wasp whale wolf worm yak
"""
WORDS = tuple(_WORDS.split())
"""Words that lists are made of."""


class Parts(NamedTuple):
    """A source or text taken apart: what to do, the list, and the list that is written."""

    told: list[str]
    listed: list[str]
    written: list[str]


@dataclass(frozen=True, kw_only=True)
class ListPuzzle(Puzzle):
    """A list of words whose answer is as long as the list.

    No test list has the words of a training list, in whatever order.

    Attributes:
        words: The most words of a list.
        least: The fewest; 0 for lists that are all of ``words`` words.
    """

    verb: ClassVar[str]
    tells: ClassVar[int] = 0  # words between the verb and the list

    words: int = setting(5, range(2, 13))
    least: int = setting(0, range(13))
    train: int = setting(100_000, range(10_000_001))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least == 1 or self.least > self.words:
            raise DataError(f"builtin:{self.name}: least must be 0, or 2 to words = {self.words}, got {self.least}")

    def rows(self, split: str = "train", n: int = 20000, seed: int = 0) -> list[dict[str, Any]]:
        check_drawn(split, n)
        draw = random.Random(f"{self.name} {split} {seed}")
        rows: list[dict[str, Any]] = []
        while len(rows) < n:
            listed = draw.sample(WORDS, draw.randint(self.least or self.words, self.words))
            if split_by_hash(" ".join(sorted(listed))) == split:
                told = self._told(listed, draw)
                rows.append({"source": self.source(told, listed), "target": self._answer(told, listed, draw)})
        return rows

    def source(self, told: Sequence[str], listed: Sequence[str]) -> str:
        """What to do, the list, and a mask for each word of the answer."""
        return " ".join([self.verb, *told, ":", *listed, "=", *["<mask>"] * len(listed), "."])

    def _told(self, listed: Sequence[str], draw: random.Random) -> list[str]:
        """What else the task mentions, as words that are not in the list."""
        return []

    @abstractmethod
    def _answer(self, told: Sequence[str], listed: Sequence[str], draw: random.Random) -> list[str]:
        """A right answer; all are equally likely."""

    @abstractmethod
    def _key(self, parts: Parts) -> str | None:
        """Which right answer it is that was written."""

    def read(self, text: str) -> Parts | None:
        """The parts of a text or source, or None if it has others or a word of the list comes twice."""
        head, colon, rest = text.partition(":")
        listed, equals, written = rest.partition("=")
        words = written.split()
        parts = Parts(head.split()[1:], listed.split(), words[:-1])
        same_length = 1 < len(set(parts.listed)) == len(parts.listed) == len(parts.written)
        same_head = head.split()[:1] == [self.verb] and len(parts.told) == self.tells
        good = same_head and colon and equals and words[-1:] == ["."] and same_length
        return parts if good else None

    def read_source(self, source: str) -> Parts:
        """The parts of a source.

        Raises:
            ValueError: It is no source of this task.
        """
        if (parts := self.read(source)) is None:
            raise ValueError(f"source must be one of {self.spec}, got {source!r:.60}")
        return parts

    def answers(self, text: str) -> tuple[str | None, ...]:
        parts = self.read(text)
        return (None if parts is None else self._key(parts),)

    def draw(self, source: str, rng: random.Random) -> str:
        parts = self.read_source(source)
        return completed(source, self._answer(parts.told, parts.listed, rng))
