"""Replacing: any one word of a list is replaced by a new word, and all others stay.

Each place gets the new word with probability 1/n. So independently drawn words write it exactly once with probability
(1 - 1/n)^(n - 1), which is above a third but far from always.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from yanlm.data.builtin.word_lists import WORDS, ListPuzzle, Parts


@dataclass(frozen=True, kw_only=True)
class Replace(ListPuzzle):
    """Lists in which one word is to be replaced.

    Example:
        >>> replace = Replace()
        >>> replace.rows("test", 1)[0]["source"]
        'put slug : lion snail wasp lamb horse = <mask> <mask> <mask> <mask> <mask> .'
        >>> replace.answers("put cow : ant bat = ant cow ."), replace.answers("put cow : ant bat = cow cow .")
        (('1',), (None,))
        >>> round(replace.bound, 4)
        0.4096
    """

    name: ClassVar[str] = "replace"
    verb: ClassVar[str] = "put"
    tells: ClassVar[int] = 1

    def _told(self, listed: Sequence[str], draw: random.Random) -> list[str]:
        return [draw.choice([word for word in WORDS if word not in listed])]

    def _answer(self, told: Sequence[str], listed: Sequence[str], draw: random.Random) -> list[str]:
        place = draw.randrange(len(listed))
        return [*listed[:place], *told, *listed[place + 1 :]]

    def _key(self, parts: Parts) -> str | None:
        changed = [i for i, words in enumerate(zip(parts.listed, parts.written, strict=True)) if len(set(words)) > 1]
        if len(changed) != 1 or [parts.written[changed[0]]] != parts.told:
            return None
        return str(changed[0])

    def choices(self, source: str) -> tuple[int, ...]:
        return (len(self.read_source(source).listed),)

    def chances(self, source: str) -> tuple[float, ...]:
        n = len(self.read_source(source).listed)
        return ((1 - 1 / n) ** (n - 1),)
