"""Lists of words."""

from __future__ import annotations

import pytest

from yanlm.data.builtin.replace import Replace
from yanlm.data.builtin.shuffle import Shuffle
from yanlm.data.builtin.word_lists import WORDS, ListPuzzle, Parts
from yanlm.data.rows import DataError


@pytest.mark.parametrize("task", [Shuffle(words=3), Replace(words=3)])
def test_no_test_list_has_the_words_of_a_training_list(task: ListPuzzle) -> None:
    sets = [
        {frozenset(task.read_source(row["source"]).listed) for row in task.rows(split, 3000)}
        for split in ("train", "validation", "test")
    ]
    assert not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]


def test_lengths() -> None:
    lengths = {len(row["target"]) for row in Shuffle(words=6, least=3).rows("train", 200)}
    assert lengths == {3, 4, 5, 6} and {len(row["target"]) for row in Shuffle().rows("train", 50)} == {5}
    for least in (1, 6):
        with pytest.raises(DataError, match=f"builtin:shuffle: least must be 0, or 2 to words = 5, got {least}"):
            Shuffle(least=least)


def test_all_words_are_different() -> None:
    assert len(set(WORDS)) == len(WORDS) >= 40


def test_a_text_is_taken_apart() -> None:
    assert Replace().read("put cow : ant bat = cow bat .") == Parts(["cow"], ["ant", "bat"], ["cow", "bat"])
    with pytest.raises(ValueError, match=r"source must be one of builtin:shuffle, got 'shuffle : ant'"):
        Shuffle().choices("shuffle : ant")


WRONG = [
    "", ":", "=", "shuffle : = .", "shuffle : ant = ant .", "shuffle : ant bat = ant bat",
    "shuffle ant bat = bat ant .", "sort : ant bat = bat ant .", "shuffle : ant ant = ant ant .",
    "shuffle : ant bat = bat ant ant .", "shuffle cow : ant bat = bat ant .",
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_has_other_parts_is_wrong(text: str) -> None:
    assert Shuffle().read(text) is None and Shuffle().answers(text) == (None,)
