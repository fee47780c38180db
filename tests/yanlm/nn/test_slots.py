"""Tensors at the slots."""

from __future__ import annotations

from collections.abc import Callable

import torch

from yanlm.modeling.yan import YanModel
from yanlm.nn.slots import gather_tokens, held_slots, shown, slot_groups

Make = Callable[..., YanModel]


def test_what_is_shown() -> None:
    source = torch.tensor([[9, 5, 9], [9, 9, 6]])
    where = torch.tensor([[True, False], [False, True]])
    filled = shown(source, torch.tensor([[0, 2], [0, 1]]), torch.tensor([[1, 2], [3, 4]]), where)
    assert filled.tolist() == [[1, 5, 9], [9, 4, 6]]
    assert source.tolist() == [[9, 5, 9], [9, 9, 6]]  # as it was


def test_states_of_the_slots() -> None:
    states = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert gather_tokens(states, torch.tensor([[2, 0], [1, 1]])).tolist() == [
        states[0, [2, 0]].tolist(),
        states[1, [1, 1]].tolist(),
    ]


def test_slots_that_are_no_padding() -> None:
    slots, held = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[True, True], [True, False]])
    assert held_slots(slots, None).tolist() == [[True, True]] * 2
    assert torch.equal(held_slots(slots, held), held)
    assert held_slots(slots, held, 2).tolist() == [[True, True]] * 2 + [[True, False]] * 2


def test_groups_are_runs_of_adjacent_slots() -> None:
    slots = torch.tensor([[3, 4, 5, 9, 10, 12], [0, 2, 0, 0, 0, 0]])
    groups = slot_groups(slots, "span")
    assert groups is not None
    assert groups[0].tolist() == [0, 0, 0, 1, 1, 2]
    assert groups[1, :2].tolist() == [0, 1]
    assert int(groups.max()) < slots.shape[1]
    sequence = slot_groups(slots, "sequence")
    assert sequence is not None and not sequence.any()
    assert slot_groups(slots, "token") is None
    ids = torch.tensor([[7] * 13] * 2)  # ends of sentences part sentences alone
    assert torch.equal(groups, slot_groups(slots, "span", ids, ends=[7]))
