"""Means, intervals and diversity."""

from __future__ import annotations

from yanlm.evaluation.aggregate import diversity, interval, macro_f1


def test_intervals_and_summaries() -> None:
    assert interval([(1, 1)] * 5) == [1.0, 1.0]
    low, high = interval([(0, 10), (3, 3)] * 20)
    assert low < 3 / 13 < high
    assert macro_f1(["a", "b", "c"], ["A", " b", "c"]) == 1
    assert macro_f1(["x", "b"], ["a", "b"]) == 0.5
    found = diversity([["a b c", "a b c"], ["a b", "d e"]])
    assert found["unique"] == 0.75 and found["distinct_2"] == 0.5  # ab, bc, ab, bc, ab, de
