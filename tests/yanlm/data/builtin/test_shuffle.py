"""Shuffling: any order is right."""

from __future__ import annotations

import itertools
import math

import pytest

from yanlm.data.builtin.shuffle import Shuffle

LIST = ("ant", "bat", "cow", "dog")


@pytest.mark.parametrize("moved", [0, 1])
def test_right_are_all_orders_and_nothing_else(moved: int) -> None:
    task = Shuffle(moved=moved)
    keys = set()
    for words in itertools.product(LIST, repeat=4):
        text = f"shuffle : {' '.join(LIST)} = {' '.join(words)} ."
        order = len(set(words)) == 4 and (words != LIST or not moved)
        assert task.valid(text) == order
        keys |= {task.answer_key(text)} - {""}
    assert len(keys) == task.choices(task.source([], LIST))[0] == 24 - moved


@pytest.mark.parametrize("n", range(2, 13))
def test_chance_of_independent_words(n: int) -> None:
    task = Shuffle(words=n)
    assert task.bound == pytest.approx(math.factorial(n) / n**n)


@pytest.mark.parametrize("n", range(2, 6))
def test_chance_where_the_order_must_change(n: int) -> None:
    orders = [order for order in itertools.permutations(range(n)) if order != tuple(range(n))]
    share = [[sum(order[i] == j for order in orders) / len(orders) for j in range(n)] for i in range(n)]
    chance = sum(math.prod(share[i][order[i]] for i in range(n)) for order in orders)
    assert Shuffle(words=n, moved=1).bound == pytest.approx(chance)
