"""What all puzzles share: scores, variety and the factorized bound."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanlm.data.builtin.codes import Codes
from yanlm.data.builtin.latin import Latin
from yanlm.data.builtin.puzzle import Puzzle, completed, completes, expected_entropy
from yanlm.data.builtin.replace import Replace
from yanlm.data.builtin.shuffle import Shuffle
from yanlm.data.builtin.statements import Lookups, Statements
from yanlm.data.builtin.sudoku import Sudoku
from yanlm.data.builtin.sums import Sums

WORLD = "Mary ran to the attic . John ran to the cellar ."
SOURCE = f"{WORLD} <mask> is in the <mask> . <mask> is in the <mask> ."
TWO = Statements(slots=4)


def said(*words: str) -> str:
    return completed(SOURCE, words)


def test_scores_by_hand() -> None:
    right, half = said("Mary", "attic", "John", "cellar"), said("Mary", "attic", "John", "attic")
    scores = TWO.judge([SOURCE], [[right, half]])
    assert (scores["valid"], scores["all"], scores["parts"]) == (0.5, 0.5, 0.75)
    assert TWO.answer_key(right) == "Mary John" and TWO.answer_key(half) == ""
    assert TWO.judge([SOURCE], [[]]) == dict.fromkeys(scores, 0.0)


def test_a_text_that_changes_its_source_is_wrong() -> None:
    lie = said("Mary", "cellar", "John", "cellar").replace("attic", "cellar")
    assert TWO.valid(lie) and TWO.judge([SOURCE], [[lie]])["parts"] == 0.0
    assert completes(SOURCE, said("a", "b", "c", "d")) and not completes(SOURCE, said("a", "b", "c", ""))


def test_variety_is_relative_to_a_perfect_writer() -> None:
    always = [said("Mary", "attic", "Mary", "attic")] * 8
    assert TWO.judge([SOURCE], [always])["entropy"] == 0.0
    four = [
        said(*a, *b) for a in (("Mary", "attic"), ("John", "cellar")) for b in (("Mary", "attic"), ("John", "cellar"))
    ]
    assert TWO.judge([SOURCE], [four])["entropy"] == pytest.approx(math.log(4) / expected_entropy(4, 4))
    wrong = said("Mary", "cellar", "John", "attic")
    assert TWO.judge([SOURCE], [[*four, wrong]])["entropy"] == TWO.judge([SOURCE], [four])["entropy"]


@pytest.mark.parametrize(("draws", "choices"), [(8, 4), (8, 1000), (3, 2), (1, 5)])
def test_expected_entropy_is_that_of_draws(draws: int, choices: int) -> None:
    rng = random.Random(0)
    total = 0.0
    for _ in range(4000):
        counts = Counter(rng.randrange(choices) for _ in range(draws))
        total -= sum(n / draws * math.log(n / draws) for n in counts.values())
    assert expected_entropy(draws, choices) == pytest.approx(total / 4000, abs=0.03)


@given(st.integers(1, 5000), st.integers(1, 10**30))
@settings(max_examples=50, deadline=None)
def test_expected_entropy_is_within_its_limits(draws: int, choices: int) -> None:
    assert -1e-9 <= expected_entropy(draws, choices) <= math.log(min(draws, choices)) + 1e-9


def one_by_one(task: Puzzle, source: str, rng: random.Random) -> str:
    """A text every word of which is taken from a right answer of its own."""
    return " ".join(task.draw(source, rng).split()[place] for place in range(len(source.split())))


@pytest.mark.parametrize(
    "task",
    [
        TWO,
        Shuffle(words=4),
        Shuffle(words=3, moved=1),
        Replace(least=2),
        Sums(digits=2, open=1),
        Lookups(),
        Latin(),
        Sudoku(),
    ],
    ids=lambda task: task.spec,
)
def test_the_bound_is_what_independent_words_reach(task: Puzzle) -> None:
    rng = random.Random(0)
    sources = [row["source"] for row in task.rows("test", 100)]
    scores = task.judge(sources, [[one_by_one(task, source, rng) for _ in range(8)] for source in sources])
    bounds = task.bounds(sources)
    for name, bound in bounds.items():
        assert scores[name] == pytest.approx(bound, abs=0.04)
    assert task.bounds() == task.bounds([row["source"] for row in task.rows("test", 300)])
    assert task.bound == task.bounds()["valid"]


def test_what_is_judged_must_fit() -> None:
    with pytest.raises(ValueError, match="one list for each of the 1 sources, got 0"):
        TWO.judge([SOURCE], [])
    with pytest.raises(ValueError, match="one for each of the 4 masks, got 1"):
        completed(SOURCE, ["Mary"])


def test_specs() -> None:
    assert Codes().spec == "builtin:codes" and Codes(train=5).spec == "builtin:codes:train=5"
