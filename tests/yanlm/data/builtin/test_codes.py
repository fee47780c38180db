"""Codes: groups of words with one key."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanlm.data.builtin.codes import LENGTH, WORDS, Codes
from yanlm.data.rows import DataError, words_of
from yanlm.tokenization.tokenizer import encode
from yanlm.tokenization.word_tokenizer import train_word_tokenizer

LARGE = Codes(vocabulary=64, groups=4)


@pytest.mark.parametrize("codes", [Codes(), LARGE, Codes(vocabulary=2, groups=1)])
def test_three_words_follow_from_the_fourth(codes: Codes) -> None:
    rows = [row["target"] for row in codes.rows("train", 2000)]
    for group in range(codes.groups):
        words = {tuple(row[group * LENGTH : (group + 1) * LENGTH]) for row in rows}
        assert len(words) == codes.vocabulary
        for place in range(LENGTH):
            assert {drawn[place] for drawn in words} == set(WORDS[: codes.vocabulary])


def test_keys_are_independent_and_even() -> None:
    codes = Codes()
    keys = [codes.answers(codes.draw(codes.source, rng)) for rng in [random.Random(1)] for _ in range(25_600)]
    assert len(counts := Counter(keys)) == 256 and max(counts.values()) < 150 > 50 < min(counts.values())


def test_a_row_is_the_same_everywhere() -> None:
    assert Codes().rows("test", 9)[:3] == Codes().rows("test", 3) != Codes().rows("test", 3, seed=1)
    assert Codes().rows("train", 3) != Codes().rows("test", 3) != Codes().rows("validation", 3)
    assert Codes().rows("test", 1)[0]["target"] == ["ci", "ci", "du", "ba", "bu", "co", "be", "ce"]


def test_a_group_is_right_or_wrong_on_its_own() -> None:
    codes = Codes()
    words = codes.draw(codes.source, random.Random(0)).split()
    assert None not in codes.answers(" ".join(words))
    for place in (1, 6):
        other = next(word for word in WORDS[:16] if word != words[place])
        changed = " ".join([*words[:place], other, *words[place + 1 :]])
        assert [answer is None for answer in codes.answers(changed)] == [place == 1, place == 6]


@given(st.lists(st.sampled_from([*"ab. \n", "<mask>", "ba ", "bo "])).map("".join))
@settings(max_examples=50)
def test_any_text_is_judged(text: str) -> None:
    assert len(Codes().answers(text)) == 2


@pytest.mark.parametrize("text", ["", ". . .", ". ba ba ba . ba ba ba .", ". zz zz zz zz . zz zz zz zz .", ". " * 9])
def test_what_is_no_code_is_wrong(text: str) -> None:
    assert Codes().answers(text) == (None, None)


def test_every_word_is_one_token() -> None:
    codes = Codes(vocabulary=100)
    rows = codes.rows("train", 1500)
    tokenizer = train_word_tokenizer(map(words_of, rows), int(codes.tokenizer.removeprefix("words:")))
    assert {len(encode(tokenizer, f" {word}")) for row in rows for word in row["target"]} == {1}


def test_bounds() -> None:
    assert LARGE.bound == 64**-3 and LARGE.bounds()["all"] == 64**-12
    with pytest.raises(DataError, match="vocabulary must be 2 to 100, got 101"):
        Codes(vocabulary=101)
