"""How many rows an evaluation takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.evaluation import portions
from yanlm.evaluation.portions import FIRST, Portions, repeated, sample, sample_order


class Time:
    """A clock that moves when rows are evaluated."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@given(st.integers(0, 500))
def test_samples_hold_every_row_once(count: int) -> None:
    assert sorted(sample_order(count)) == list(range(count))


def test_a_sample_is_no_beginning() -> None:
    assert sample_order(1000)[:10] != list(range(10))


def test_rows_that_are_sorted_by_label_are_mixed() -> None:
    rows = [{"text": "a b", "label": label} for label in ("bad", "good") for _ in range(50)]
    for drawn in (sample(rows, 20), repeated(rows, 20)):
        assert 5 <= sum(row["label"] == "bad" for row in drawn) <= 15
    assert len(repeated(rows, 1000)) == 100


def test_texts_are_repeated_in_turn() -> None:
    texts = [row["text"] for row in repeated([{"text": letter} for letter in "abc"], 7)]
    assert sorted(texts[:3]) == ["a", "b", "c"] and texts[3:] == [*texts[:3], texts[0]]


@given(st.integers(0, 5000), st.floats(1e-3, 1e3), st.floats(1e-4, 1.0))
def test_portions_follow_one_another_and_end_in_time(count: int, seconds: float, pace: float) -> None:
    clock = Time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "time", clock)
        rows, parts = [], Portions(count, seconds)
        for part in parts:
            rows += part
            assert parts.expected >= len(rows) == part.stop
            clock.now += pace * len(part)
    assert rows == list(range(len(rows))) and parts.done == parts.expected == len(rows)
    assert len(rows) >= min(FIRST, count)
    if len(rows) > FIRST:
        assert clock.now <= seconds * (1 + 1e-9)
    if len(rows) < count:  # what is left of the time is not enough for a first portion
        assert clock.now + (FIRST + 1) * pace > seconds * (1 - 1e-9)


def test_without_a_limit_all_rows_come_at_once() -> None:
    assert list(Portions(1000)) == [range(1000)] and list(Portions(0)) == [] == list(Portions(0, 1.0))


def test_a_slow_start_is_made_up_for() -> None:
    clock = Time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "time", clock)
        parts = Portions(10_000, 10.0)
        for part in parts:
            clock.now += 1.0 * (part.start == 0) + 0.001 * len(part)
    assert parts.done > 7000 and clock.now <= 10
