"""Replacing one word of a list, whichever."""

from __future__ import annotations

import itertools

import pytest

from yanlm.data.builtin.replace import Replace


def test_right_is_one_new_word_and_all_others_as_they_were() -> None:
    task = Replace(words=3)
    right = {}
    for words in itertools.product(("ant", "bat", "cow", "new"), repeat=3):
        text = f"put new : ant bat cow = {' '.join(words)} ."
        if task.valid(text):
            right[task.answer_key(text)] = words
    assert right == {"0": ("new", "bat", "cow"), "1": ("ant", "new", "cow"), "2": ("ant", "bat", "new")}
    assert task.choices(task.source(["new"], ["ant", "bat", "cow"])) == (3,)


def test_the_new_word_is_not_in_the_list() -> None:
    for row in Replace().rows("train", 300):
        told, listed, _ = Replace().read_source(row["source"])
        assert len(told) == 1 and told[0] not in listed and told[0] in row["target"]


@pytest.mark.parametrize(("n", "chance"), [(2, 0.5), (3, 4 / 9)])
def test_chance(n: int, chance: float) -> None:
    assert Replace(words=n).bound == pytest.approx(chance)
