"""Means, intervals and diversity."""

from __future__ import annotations

from yanlm.evaluation.aggregate import by_task, diversity, interval, macro_f1
from yanlm.evaluation.items import Item


def test_intervals_and_summaries() -> None:
    assert interval([(1, 1)] * 5) == [1.0, 1.0]
    low, high = interval([(0, 10), (3, 3)] * 20)
    assert low < 3 / 13 < high
    assert macro_f1(["a", "b", "c"], ["A", " b", "c"]) == 1
    assert macro_f1(["x", "b"], ["a", "b"]) == 0.5
    found = diversity([["a b c", "a b c"], ["a b", "d e"]])
    assert found["unique"] == 0.75 and found["distinct_2"] == 0.5  # ab, bc, ab, bc, ab, de


def test_tasks_are_ordered_by_their_numbers_whatever_they_are_called() -> None:
    rows = [{"task": name} for name in ("qa10", "qa2", "area in m²", "qa2")]
    asked = [Item(place, row, None, [], [], [], [], "", False) for place, row in enumerate(rows)]  # type: ignore[arg-type]
    errors = by_task("qa", asked, [[{"exact_match": (right, 1.0)} for right in (1.0, 1.0, 1.0, 0.0)]])
    assert list(errors["by_task"].items()) == [("qa2", 0.5), ("qa10", 0.0), ("area in m²", 0.0)]
    assert errors["failed_tasks"] == 1
