"""Recordings: made the second time, told apart by shapes, bounded, dropped with the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from recorded import Recorded

from yanlm.generation.core import Filled, Given
from yanlm.generation.replays import Replays, rounded, shapes


def read(rows: int = 1, source: int = 4, slots: int = 2, **more: Any) -> Given:
    ids = torch.arange(rows * source).reshape(rows, source)
    places = torch.arange(slots).expand(rows, -1)
    return Given(ids, None, places, None, torch.zeros(rows, slots, 3))._replace(**more)


def first(given: Given) -> Filled:
    tokens = given.source_ids[:, :1] + given.slots
    return Filled(tokens, tokens.float(), None, None, 3)


class Counting:
    """A stand-in's recordings, counted."""

    def __init__(self, size: int = 1) -> None:
        self.made: list[Any] = []
        self.size = size

    def __call__(self, run: Any, given: Given) -> Recorded:
        self.made.append(shapes(given))
        return Recorded(run, given, self.size)


def test_the_second_run_is_recorded_and_the_third_replayed() -> None:
    record = Counting()
    replays, calls = Replays(record), []

    def run(given: Given) -> Filled:
        calls.append(len(calls))
        return first(given)

    outs = [replays(run, read(source_ids=torch.full((1, 4), i)), "what") for i in range(5)]
    assert [int(out.tokens[0, 0]) for out in outs] == [0, 1, 2, 3, 4]  # each its own, and none was written over
    assert len(record.made) == len(replays) == 1


@pytest.mark.parametrize(
    "other",
    [
        read(rows=2),
        read(source=5),
        read(slots=3),
        read(noise=torch.zeros(1, 2, 3, dtype=torch.bfloat16)),
        read(source_mask=torch.ones(1, 4, dtype=torch.bool)),
    ],
)
def test_other_shapes_have_another_recording(other: Given) -> None:
    record = Counting()
    replays = Replays(record)
    for given in (read(), other, read(), other):
        assert torch.equal(replays(first, given, "what").tokens, first(given).tokens)
    assert len(record.made) == 2
    replays(first, read(), "something else")
    replays(first, read(), "something else")
    assert len(replays) == 3


def test_the_least_lately_used_are_dropped() -> None:
    record = Counting()
    replays = Replays(record, most=2)
    for size in (4, 5, 4, 5, 4, 6, 6):  # 4 was used after 5
        replays(first, read(source=size), "what")
    assert len(replays) == 2 and len(record.made) == 3
    replays(first, read(source=4), "what")
    assert len(record.made) == 3
    replays(first, read(source=5), "what")
    assert len(record.made) == 4


def test_memory_is_bounded() -> None:
    record = Counting(size=40)
    replays = Replays(record, memory=100)
    for size in (4, 4, 5, 5, 6, 6):
        replays(first, read(source=size), "what")
    assert len(replays) == 2
    replays.limit(most=32, memory=50)
    assert len(replays) == 1
    record.size = 60
    for _ in range(4):  # too large by itself: recorded once, and never again
        assert torch.equal(replays(first, read(rows=3), "what").tokens, first(read(rows=3)).tokens)
    assert len(record.made) == 4 and len(replays) == 1


def test_other_weights_leave_nothing() -> None:
    record = Counting()
    replays = Replays(record)
    for _ in range(2):
        replays(first, read(), "what", weights=(1, 2))
    replays(first, read(), "what", weights=(1, 3))
    assert len(replays) == 0
    replays(first, read(), "what", weights=(1, 3))
    assert len(replays) == 1 and len(record.made) == 2


def test_what_cannot_be_recorded_runs_as_it_is() -> None:
    tries = []

    def record(run: Any, given: Given) -> Recorded:
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    replays = Replays(record)
    replays(first, read(), "what")
    with pytest.warns(UserWarning, match="cannot be recorded"):
        replays(first, read(), "what")
    assert torch.equal(replays(first, read(), "what").tokens, first(read()).tokens)
    assert len(tries) == 1 and len(replays) == 0


@pytest.mark.parametrize("bound", [{"most": 0}, {"memory": 0}, {"most": 1.5}])
def test_bounds(bound: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bound))):
        Replays(Counting(), **bound)


@settings(max_examples=50)
@for_all(source=st.integers(1, 300), slots=st.integers(1, 300), longest=st.integers(1, 300))
def test_rounding(source: int, slots: int, longest: int) -> None:
    given = read(source=source, slots=slots, uniforms=torch.ones(1, 1, slots), judge=torch.ones(1, slots, 3))
    more = rounded(given, longest)
    length, count = more.source_ids.shape[1], more.slots.shape[1]
    assert source <= length <= max(source, longest, 8) and length - source <= max(7, source / 4)
    assert torch.equal(more.source_ids[:, :source], given.source_ids)
    assert more.source_mask is None or int(more.source_mask.sum()) == source
    assert (more.slot_mask is None) == (count == slots)
    assert more.uniforms is not None and more.uniforms.shape == (1, 1, count) and more.uniforms.sum() == slots
    assert more.judge is not None and more.judge.shape == more.noise.shape == (1, count, 3)


def test_answers_keep_their_slots() -> None:
    given = rounded(read(source=9, slots=3, choices=torch.ones(4, 3, dtype=torch.long)), 100)
    assert given.source_ids.shape == (1, 16) and given.slots.shape == (1, 3) and given.slot_mask is None
