"""Statements about small worlds with several right answers: ``<mask> is in the <mask> .`` after who went where.

Every person of the world gives a right answer, and person and room have to agree. Word by word, a model can at best
guess the people and the rooms that occur; a text is right only if both words were written together.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from yanlm.data.builtin.rooms import locations, rooms_rows, says_true


def statement_rows(split: str = "train", n: int = 20000, seed: int = 0, shown: bool = False) -> list[dict[str, Any]]:
    """Worlds of :func:`yanlm.data.builtin.rooms.rooms_rows`, each with one true statement whose two words are masked.

    Args:
        split: ``train``, ``validation`` or ``test``.
        n: How many rows.
        seed: Which worlds.
        shown: One of the two words is shown, either as likely; from words that are always masked together nobody
            learns who is where.

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
        words = draw.choice(sorted(locations(world["context"]).items()))
        masked = (draw.randrange(2),) if shown else (0, 1)
        statement = "{} is in the {} .".format(*("<mask>" if i in masked else word for i, word in enumerate(words)))
        rows.append({"source": f"{world['context']} {statement}", "target": [words[i] for i in masked]})
    return rows


def parted(text: str) -> tuple[str, str]:
    """The sentences before the last one, and the last one.

    Example:
        >>> parted("Mary ran to the attic . Mary is in the attic .")
        ('Mary ran to the attic .', 'Mary is in the attic .')
    """
    sentences = [part.strip() for part in text.split(".") if part.strip()]
    return " ".join(f"{sentence} ." for sentence in sentences[:-1]), f"{sentences[-1]} ." if sentences else ""


def judge(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """How true and how varied several completions of each world are.

    Args:
        texts: For each world its completed texts, statement last.

    Returns:
        ``valid``, the share of true statements; ``people``, how many people of a world were named truly, as a share of
        the most that so many draws could name; ``entropy``, of the people truly named, over that of an even choice.

    Example:
        >>> world = "Mary ran to the attic . John ran to the cellar ."
        >>> judge([[f"{world} Mary is in the attic .", f"{world} John is in the cellar ."]])
        {'valid': 1.0, 'people': 1.0, 'entropy': 1.0}
    """
    import math

    valid = total = 0
    people, entropies = [], []
    for world in texts:
        named: Counter[str] = Counter()
        there: dict[str, str] = {}
        for text in world:
            context, statement = parted(text)
            there = locations(context)
            total += 1
            if says_true(context, statement):
                valid += 1
                named.update(locations(statement).keys())
        if len(there) < 2 or len(world) < 2:
            continue
        people.append(len(named) / min(len(there), len(world)))
        shares = [count / named.total() for count in named.values()]
        entropies.append(-sum(p * math.log(p) for p in shares) / math.log(min(len(there), len(world))))
    mean = [sum(part) / max(1, len(part)) for part in (people, entropies)]
    return {"valid": valid / max(1, total), "people": mean[0], "entropy": mean[1] + 0.0}
