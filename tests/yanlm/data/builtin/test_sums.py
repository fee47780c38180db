"""Sums, and pairs of numbers that have a sum."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from yanlm.data.builtin.sums import Sums

OPEN = Sums(digits=2, open=1)


def asked(total: int) -> str:
    return f"{' '.join(str(total).zfill(3))} = <mask> <mask> + <mask> <mask> ."


def test_rows_by_hand() -> None:
    for row in Sums(digits=3).rows("train", 200):
        left, right = row["source"].split(" = ")
        first, second = (int(part.replace(" ", "")) for part in left.split("+"))
        assert int("".join(row["target"])) == first + second and right == "<mask> <mask> <mask> <mask> ."
    for row in OPEN.rows("train", 200):
        first, second = (int("".join(part)) for part in (row["target"][:2], row["target"][2:]))
        assert row["source"] == asked(first + second)


def test_numbers_are_even() -> None:
    pairs = Counter(tuple(row["target"]) for row in OPEN.rows("train", 2000) if row["source"] == asked(99))
    assert len(pairs) > 5 and max(pairs.values()) <= 4


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("0 5 + 0 7 = 0 1 2 .", True), ("0 5 + 0 7 = 0 1 2", True), ("05 + 07 = 012 .", False),
        ("0 5 + 0 7 = 1 2 .", False), ("0 5 + 0 7 = 0 1 3 .", False), ("9 9 + 9 9 = 1 9 8 .", True),
        ("0 5 + 0 7 + 0 0 = 0 1 2 .", False), ("0 5 = 0 5 .", False), ("0 5 + 0 7 = 0 1 ² .", False),
        ("0 5 + 0 7 = 0 1 + 0 2 .", False), ("", False), ("= + .", False),
    ],
)  # fmt: skip
def test_what_is_right(text: str, good: bool) -> None:
    assert Sums(digits=2).valid(text) == good


@pytest.mark.parametrize("total", [0, 7, 10, 99, 131, 198])
def test_open_sums_by_counting(total: int) -> None:
    pairs = [(a, total - a) for a in range(100) if 0 <= total - a < 100]
    assert OPEN.choices(asked(total)) == (len(pairs),)
    digits = [f"{a:02d}{b:02d}" for a, b in pairs]
    share = [Counter(text[place] for text in digits) for place in range(4)]
    chance = 0.0
    for text in digits:
        alone = 1.0
        for place, digit in enumerate(text):
            alone *= share[place][digit] / len(pairs)
        chance += alone
    assert OPEN.chances(asked(total)) == pytest.approx([chance])
    rng = random.Random(0)
    drawn = {OPEN.answer_key(OPEN.draw(asked(total), rng)) for _ in range(1000)}
    assert drawn == {f"{a:02d}" for a, _ in pairs}


def test_no_pair_or_sum_is_in_two_splits() -> None:
    for task in (Sums(digits=2), OPEN):
        sources = [{row["source"] for row in task.rows(split, 1500)} for split in ("train", "validation", "test")]
        for first, second in itertools.combinations(sources, 2):
            assert not first & second
