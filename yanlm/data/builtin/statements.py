"""Statements about small worlds with several right answers: ``<mask> is in the <mask> .`` after who went where.

Every person of the world gives a right answer, and person and room have to agree. Word by word, a model can at best
guess the people and the rooms that occur; a text is right only if both words were written together. With more slots
there are several statements about one world. The person of each is drawn independently, so a person may be named twice.
A text is right if every statement is true.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from yanlm.data.builtin.puzzle import Puzzle, completed, completes
from yanlm.data.builtin.rooms import locations, rooms_rows
from yanlm.data.builtin.setting import setting
from yanlm.data.rows import MASKS


def statement_rows(
    split: str = "train", n: int = 20000, seed: int = 0, shown: bool = False, slots: int = 2
) -> list[dict[str, Any]]:
    """Worlds of :func:`yanlm.data.builtin.rooms.rooms_rows`, each with true statements whose two words are masked.

    Args:
        split: ``train``, ``validation`` or ``test``.
        n: How many rows.
        seed: Which worlds.
        shown: Show one of the two words, each with the same probability. A model cannot learn who is where from words
            that are always masked together.
        slots: Twice the number of statements.

    Raises:
        ValueError: The split is unknown or n is negative.

    Example:
        >>> row = statement_rows("test", 1)[0]
        >>> row["source"].split(" . ")[-1], row["target"]
        ('<mask> is in the <mask> .', ['Mary', 'bathroom'])
        >>> row = statement_rows("test", 1, shown=True)[0]
        >>> row["source"].split(" . ")[-1], row["target"]
        ('Mary is in the <mask> .', ['bathroom'])
    """
    draw = random.Random(f"statements {split} {seed}")
    rows = []
    for world in rooms_rows(split, n, seed):
        source, target = [world["context"]], []
        true = sorted(locations(world["context"]).items())
        for _ in range(slots // 2):
            words = draw.choice(true)
            masked = (draw.randrange(2),) if shown else (0, 1)
            source.append(_stated(*("<mask>" if i in masked else word for i, word in enumerate(words))))
            target += [words[i] for i in masked]
        rows.append({"source": " ".join(source), "target": target})
    return rows


def _stated(person: str, room: str) -> str:
    return f"{person} is in the {room} ."


@dataclass(frozen=True, kw_only=True)
class Statements(Puzzle):
    """``slots / 2`` statements about a world, with both words of each masked.

    ``valid`` and ``all`` are the share of texts of which every statement is true, ``parts`` the share of statements.

    Attributes:
        slots: Twice the number of statements.

    Example:
        >>> statements = Statements(slots=4)
        >>> world = "Mary ran to the attic . John ran to the cellar ."
        >>> statements.answers(f"{world} John is in the cellar . John is in the attic .")
        ('John', None)
        >>> statements.chances(f"{world} <mask> is in the <mask> . <mask> is in the <mask> .")
        (0.5, 0.5)
    """

    name: ClassVar[str] = "statements"
    tokenizer: ClassVar[str] = "words:1024"
    shown: ClassVar[bool] = False

    slots: int = setting(2, range(2, 25, 2))

    def rows(self, split: str = "train", n: int = 20000, seed: int = 0) -> list[dict[str, Any]]:
        return statement_rows(split, n, seed, self.shown, self.slots)

    def answers(self, text: str) -> tuple[str | None, ...]:
        where, statements = self._read(text)
        told = [locations(statement) for statement in statements]
        return tuple(next(iter(said)) if len(said) == 1 and said.items() <= where.items() else None for said in told)

    def _read(self, text: str) -> tuple[dict[str, str], list[str]]:
        """Who is where, and the statements, exactly as many as required."""
        sentences = [f"{part.strip()} ." for part in text.split(".") if part.strip()]
        count = self.slots // 2
        first = max(0, len(sentences) - count)
        return locations(" ".join(sentences[:first])), [*sentences[first:], *[""] * count][:count]

    def choices(self, source: str) -> tuple[int, ...]:
        where, statements = self._read(source)
        return tuple(len(self._people(where, statement)) for statement in statements)

    def _people(self, where: dict[str, str], statement: str) -> list[str]:
        """Whom a statement can be about, given what it shows."""
        return [who for who, room in sorted(where.items()) if _fits(statement, who, room)]

    def chances(self, source: str) -> tuple[float, ...]:
        where, statements = self._read(source)
        chances = []
        for statement in statements:
            people = self._people(where, statement)
            rooms = Counter(where[who] for who in people)
            both = len(MASKS.findall(statement)) == 2
            chances.append(math.fsum((n / rooms.total()) ** 2 for n in rooms.values()) if both else 1.0)
        return tuple(chances)

    def draw(self, source: str, rng: random.Random) -> str:
        where, statements = self._read(source)
        words: list[str] = []
        for statement in statements:
            who = rng.choice(self._people(where, statement))
            shown = statement.split()
            words += [word for word, place in ((who, 0), (where[who], -2)) if MASKS.fullmatch(shown[place])]
        return completed(source, words)


@dataclass(frozen=True, kw_only=True)
class Lookups(Statements):
    """The same statements with one of the two words shown.

    Example:
        >>> Lookups().rows("test", 1)[0]["source"].split(" . ")[-1]
        'Mary is in the <mask> .'
    """

    name: ClassVar[str] = "lookups"
    shown: ClassVar[bool] = True


def _fits(statement: str, person: str, room: str) -> bool:
    return completes(statement, _stated(person, room))
