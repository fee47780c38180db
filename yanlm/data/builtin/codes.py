"""Codes: groups of four words that all follow from one hidden key, without any source to read.

All words are equally likely, and any word of a group determines the other three. A writer of all words at once gets a
group right with probability V^-3 unless it decides on a key. There is only one source, which is all masks. The splits
are different draws of the same keys, so a test row contains nothing unseen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from yanlm.data.builtin.drawing import check_drawn
from yanlm.data.builtin.puzzle import Puzzle, completed
from yanlm.data.builtin.setting import setting

LENGTH = 4
"""Words of a group."""

WORDS = tuple(consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou")
"""The words of all vocabularies: one of V words takes the first V."""


@dataclass(frozen=True, kw_only=True)
class Codes(Puzzle):
    """``groups`` groups of four words, each group decided by one of ``vocabulary`` keys.

    ``valid`` is the share of groups whose four words have the same key, ``all`` that of texts with no other group.

    Attributes:
        vocabulary: V, how many words and keys there are.
        groups: How many groups a text has.

    Example:
        >>> codes = Codes()
        >>> row = codes.rows("test", 1)[0]
        >>> row["source"]
        '. <mask> <mask> <mask> <mask> . <mask> <mask> <mask> <mask> .'
        >>> text = codes.draw(row["source"], random.Random(0))
        >>> text, codes.answers(text), codes.valid(text.replace("da", "ba"))
        ('. di da bi da . da da co bo .', ('12', '13'), False)
    """

    name: ClassVar[str] = "codes"
    by_parts: ClassVar[bool] = True

    vocabulary: int = setting(16, range(2, len(WORDS) + 1))
    groups: int = setting(2, range(1, 17))
    train: int = setting(100_000, range(10_000_001))

    @property
    def source(self) -> str:
        """The one source: masks, with a point before and after every group."""
        return ". " + " . ".join([" ".join(["<mask>"] * LENGTH)] * self.groups) + " ."

    @cached_property
    def _words(self) -> tuple[tuple[str, ...], ...]:
        """The word of every key, place by place: fixed permutations that no seed changes."""
        draw = random.Random(f"codes {self.vocabulary}")
        words = WORDS[: self.vocabulary]
        return tuple(tuple(draw.sample(words, len(words))) for _ in range(self.groups * LENGTH))

    @cached_property
    def _keys(self) -> tuple[dict[str, int], ...]:
        return tuple({word: key for key, word in enumerate(words)} for words in self._words)

    def rows(self, split: str = "train", n: int = 20000, seed: int = 0) -> list[dict[str, Any]]:
        check_drawn(split, n)
        draw = random.Random(f"codes {split} {seed}")
        return [{"source": self.source, "target": self._draw_words(draw)} for _ in range(n)]

    def _draw_words(self, draw: random.Random) -> list[str]:
        keys = [draw.randrange(self.vocabulary) for _ in range(self.groups)]
        return [words[keys[place // LENGTH]] for place, words in enumerate(self._words)]

    def answers(self, text: str) -> tuple[str | None, ...]:
        first, *groups, last = text.split(".") if text.count(".") == self.groups + 1 else ["", "", ""]
        if first.strip() or last.strip() or len(groups) != self.groups:
            return (None,) * self.groups
        return tuple(self._key(place, group.split()) for place, group in enumerate(groups))

    def _key(self, group: int, words: Sequence[str]) -> str | None:
        if len(words) != LENGTH:
            return None
        keys = {self._keys[group * LENGTH + place].get(word) for place, word in enumerate(words)}
        key = keys.pop()
        return None if keys or key is None else str(key)

    def choices(self, source: str) -> tuple[int, ...]:
        return (self.vocabulary,) * self.groups

    def chances(self, source: str) -> tuple[float, ...]:
        return (self.vocabulary ** (1.0 - LENGTH),) * self.groups

    def draw(self, source: str, rng: random.Random) -> str:
        return completed(source, self._draw_words(rng))
