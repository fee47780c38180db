"""The n-gram model on texts whose next word is known, and its probabilities."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.tasks.ngram import NGram

SEEN = ["The cat sat on the mat.", "The dog sat on the mat.", "A dog ran to the house!", "We saw Rome."] * 5


@pytest.fixture(scope="module")
def model() -> NGram:
    return NGram().fit(SEEN)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("the bird sat on the", ".", "mat"),
        ("the bird ran to the", "!", "house"),
        ("The dog sat", "the", "on"),
        ("THE BIRD SAT ON THE", "", "mat"),  # case does not matter
        ("In May we saw", ".", "Rome"),  # the form in which it was seen
    ],
)
def test_last_words(model: NGram, before: str, after: str, expected: str) -> None:
    assert model.predict(before, after) == expected


def test_what_follows_decides(model: NGram) -> None:
    assert model.predict("unknown words here", "!") == "house"
    assert model.predict("unknown words here", ".") == "mat"


@given(st.lists(st.sampled_from(["the", "cat", "sat", "on", "Rome", ".", "zebra", "é"])), st.text(max_size=5))
def test_always_a_known_word(model: NGram, before: list[str], after: str) -> None:
    known = {word.strip(".!") for text in SEEN for word in text.split()}
    assert model.predict(" ".join(before), after) in known


def test_probabilities_sum_to_one(model: NGram) -> None:
    words = {"the", "cat", "sat", "on", "mat", ".", "dog", "a", "ran", "to", "house", "!", "we", "saw", "rome"}
    for history in [("sat", "on"), ("zebra", "the"), ("zebra", "zebra"), ("", ""), ("", "the")]:
        assert sum(model.probability(word, *history) for word in words) == pytest.approx(1)
    assert model.probability("zebra", "sat", "on") == 0


def test_unseen_histories_drop_out(model: NGram) -> None:
    counted = [token for text in SEEN for token in text.lower().replace(".", " .").replace("!", " !").split()]
    assert model.probability("the", "zebra", "zebra") == pytest.approx(counted.count("the") / len(counted))


@pytest.mark.parametrize("history", [0, 1, 2])
def test_weights_follow_what_the_words_depend_on(history: int) -> None:
    rng = random.Random(0)
    texts = []
    for _ in range(300):
        line = [rng.randrange(6) for _ in range(2)]
        while len(line) < 20:  # a word is one of two, which the last words decide, or any
            start = {0: None, 1: line[-1], 2: line[-1] * 2 + line[-2] * 5}[history]
            line.append(rng.randrange(6) if start is None else (start + rng.randrange(2)) % 6)
        texts.append(" ".join(f"w{i}" for i in line))
    model = NGram().fit(texts)
    assert sum(model.weights) == pytest.approx(1)
    assert sum(model.weights[history:]) > 0.9  # shorter histories know less; longer ones may know as much
    held = NGram().fit([text for i, text in enumerate(texts) if i % 10])

    def likelihood(*weights: float) -> float:
        held.weights = weights
        lines = [["", "", *text.split()] for text in texts[::10]]
        places = (place for line in lines for place in zip(line, line[1:], line[2:], strict=False))
        found = [math.log(held.probability(word, u, v)) for u, v, word in places]
        return sum(found) / len(found)

    best = likelihood(*model.weights)
    for other in [(0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8), (1 / 3, 1 / 3, 1 / 3)]:
        assert best > likelihood(*other) - 0.002  # nats a word: the maximum is flat


def test_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="texts holds no word"):
        NGram().fit(["...", ""])
    with pytest.raises(ValueError, match="texts must be a list of texts, got one str; put it into a list"):
        NGram().fit("the cat")
    with pytest.raises(ValueError, match="call fit"):
        NGram().predict("the")


def test_same_in_every_process() -> None:
    code = "from yanlm.tasks.ngram import NGram; print(NGram().fit(['b a', 'a b', 'c d', 'd c']).predict('x', 'y'))"
    runs = set()
    for seed in "01":
        env = {**os.environ, "PYTHONHASHSEED": seed}
        runs.add(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env).stdout)
    assert len(runs) == 1 and runs != {""}
