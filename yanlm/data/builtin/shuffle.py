"""Shuffling: any order of the words of a list is right, so words have to know which are taken.

Every word may stand anywhere. Independently drawn words form an order of the list only with probability n! / n^n, .038
for five.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from yanlm.data.builtin.setting import setting
from yanlm.data.builtin.word_lists import ListPuzzle, Parts


@dataclass(frozen=True, kw_only=True)
class Shuffle(ListPuzzle):
    """Lists to be shuffled.

    Attributes:
        moved: With 1 the order has to differ from that of the list.

    Example:
        >>> shuffle = Shuffle()
        >>> shuffle.rows("test", 1)[0]["source"]
        'shuffle : ant wolf toad dog elk = <mask> <mask> <mask> <mask> <mask> .'
        >>> shuffle.valid("shuffle : ant bat cow = cow ant bat ."), shuffle.valid("shuffle : ant bat = ant ant .")
        (True, False)
        >>> round(shuffle.bound, 4)
        0.0384
    """

    name: ClassVar[str] = "shuffle"
    verb: ClassVar[str] = "shuffle"

    moved: int = setting(0, (0, 1))

    def _answer(self, told: Sequence[str], listed: Sequence[str], draw: random.Random) -> list[str]:
        order = draw.sample(listed, len(listed))
        while self.moved and order == list(listed):
            order = draw.sample(listed, len(listed))
        return order

    def _key(self, parts: Parts) -> str | None:
        if (
            sorted(parts.written) != sorted(parts.listed)
            or parts.told
            or (self.moved and parts.written == parts.listed)
        ):
            return None
        return " ".join(str(parts.listed.index(word)) for word in parts.written)

    def choices(self, source: str) -> tuple[int, ...]:
        return (math.factorial(len(self.read_source(source).listed)) - self.moved,)

    def chances(self, source: str) -> tuple[float, ...]:
        n = len(self.read_source(source).listed)
        orders = math.factorial(n) - self.moved
        stays = (math.factorial(n - 1) - self.moved) / orders  # that a word is in the place it had
        goes = math.factorial(n - 1) / orders  # that it is in a certain other place
        most = n - 1 if self.moved else n  # words in the places they had
        return (math.fsum(_orders(n, k) * stays**k * goes ** (n - k) for k in range(most + 1)),)


def _orders(n: int, stay: int) -> int:
    """How many orders of n words leave exactly ``stay`` of them in their places."""
    rest = n - stay
    deranged = sum((-1) ** k * math.factorial(rest) // math.factorial(k) for k in range(rest + 1))
    return math.comb(n, stay) * deranged
