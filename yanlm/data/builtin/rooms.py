"""Small generated worlds with questions: people move between rooms, and one of them has to be found.

A world is a list of facts, each one or two people and the room they end up in. It belongs to one of three splits by a
hash of its facts, so that no wording of a test world ever occurs in training. The last room named is the answer about
half of the time. To do better a model has to connect people to rooms.
"""

from __future__ import annotations

import random
import re

from yanlm.data.builtin.drawing import Split, check_drawn, split_by_hash
from yanlm.data.rows import Row

Fact = tuple[tuple[str, ...], str]
"""Who, and the room they are in from then on."""

PEOPLE = ("Mary", "John", "Sandra", "Daniel", "Emma", "Oliver", "Ruth", "Peter")
ROOMS = ("kitchen", "garden", "bedroom", "bathroom", "office", "hallway", "cellar", "attic")
MOVES = ("went to", "moved to", "walked to", "ran to", "came into", "hurried to", "returned to")
MOVES_FROM = ("left the {old} for the {new}", "went from the {old} to the {new}")
STAYS = ("stayed in", "waited in", "remained in")

SENTENCES = (2, 8)
"""The smallest and largest number of sentences of a world."""

_PLACE = re.compile(rf"\b({'|'.join(ROOMS)})\b")
_MOVED = "|".join([*MOVES, *STAYS, "is in", "are in"])
_FROM = "|".join(form.format(old=f"(?:{'|'.join(ROOMS)})", new="") for form in MOVES_FROM)
_STATEMENT = re.compile(
    rf"({'|'.join(PEOPLE)})(?: and ({'|'.join(PEOPLE)}))? (?:(?:{_MOVED}) the |(?:{_FROM}))({'|'.join(ROOMS)})"
)


def rooms_rows(split: str = "train", n: int = 20000, seed: int = 0) -> list[Row]:
    """Makes ``n`` worlds of a split, each with a question of one word.

    The first rows are the same whatever ``n`` is.

    Args:
        split: ``train`` (nine worlds in ten), ``validation`` or ``test``; no two share a world.
        n: How many rows.
        seed: Which worlds; the same seed gives the same rows everywhere.

    Raises:
        ValueError: The split is unknown or n is negative.

    Example:
        >>> row = rooms_rows("test", 1)[0]
        >>> row["context"]
        'Peter and Mary moved to the bathroom . Mary went to the hallway . Mary went to the bathroom .'
        >>> row["question"], row["answer"]
        ('Where is Mary ?', 'bathroom')
    """
    check_drawn(split, n)
    draw = random.Random(f"rooms {split} {seed}")
    rows: list[Row] = []
    while len(rows) < n:
        facts = _draw_facts(draw)
        if split_of(facts) == split:
            rows.append(_worded(facts, draw))
    return rows


def split_of(facts: list[Fact]) -> Split:
    """The split that a world belongs to, by a hash of who went where and nothing else.

    Example:
        >>> split_of([(("Mary",), "kitchen"), (("John", "Ruth"), "attic")])
        'train'
    """
    return split_by_hash(repr(facts))


def _draw_facts(draw: random.Random) -> list[Fact]:
    cast = draw.sample(PEOPLE, draw.choice((2, 3, 3, 4)))
    facts: list[Fact] = []
    for _ in range(draw.randint(*SENTENCES)):
        both = len(cast) > 2 and draw.random() < 0.15
        facts.append((tuple(draw.sample(cast, 1 + both)), draw.choice(ROOMS)))
    return facts


def _worded(facts: list[Fact], draw: random.Random) -> Row:
    """A wording of the facts and a question about anybody in them."""
    where: dict[str, str] = {}
    sentences = []
    for who, room in facts:
        known = {where.get(person) for person in who}
        old = known.pop() if len(known) == 1 else None  # two who come from different rooms simply go
        if old == room:
            does = f"{draw.choice(STAYS)} the {room}"
        elif old and draw.random() < 0.25:
            does = draw.choice(MOVES_FROM).format(old=old, new=room)
        else:
            does = f"{draw.choice(MOVES)} the {room}"
        sentences.append(f"{' and '.join(who)} {does} .")
        where.update(dict.fromkeys(who, room))
    person = draw.choice(list(where))
    return {"context": " ".join(sentences), "question": f"Where is {person} ?", "answer": where[person]}


def locations(context: str) -> dict[str, str]:
    """Where everybody is at the end; other sentences are skipped.

    Example:
        >>> locations("Mary and John went to the attic . John left the attic for the garden . It rained .")
        {'Mary': 'attic', 'John': 'garden'}
    """
    where: dict[str, str] = {}
    for sentence in context.split("."):
        statement = _STATEMENT.fullmatch(" ".join(sentence.split()))
        if statement:
            *who, room = statement.groups()
            where.update({person: room for person in who if person})
    return where


def is_true(context: str, person: str, room: str) -> bool:
    """Whether the person is in the room at the end of the context.

    Example:
        >>> is_true("Mary ran to the attic . Mary waited in the attic .", "Mary", "attic")
        True
    """
    return locations(context).get(person) == room


def says_true(context: str, statement: str) -> bool:
    """Whether a statement such as ``Mary is in the attic .`` can be read and holds at the end of the context.

    Example:
        >>> says_true("Mary ran to the attic .", "Mary is in the cellar .")
        False
    """
    told = locations(statement)
    return bool(told) and all(is_true(context, person, room) for person, room in told.items())


def last_mentioned(row: Row) -> str:
    """A simple baseline: the room named last in the context, or '' if there is none.

    Example:
        >>> last_mentioned({"context": "Mary ran to the attic . John came into the cellar ."})
        'cellar'
    """
    return (_PLACE.findall(row["context"]) or [""])[-1]
