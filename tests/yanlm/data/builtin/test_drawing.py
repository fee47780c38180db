"""Splits by hash."""

from __future__ import annotations

from collections import Counter

import pytest

from yanlm.data.builtin.drawing import HELD, check_drawn, split_at, split_by_hash


def test_shares_are_those_that_are_said() -> None:
    splits = Counter(split_by_hash(f"row {n}") for n in range(20_000))
    assert splits.keys() == {"train", *HELD}
    for split, share in HELD.items():
        assert splits[split] / 20_000 == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize(("split", "n", "fault"), [("dev", 1, "got 'dev'"), ("test", -1, "got -1")])
def test_faults(split: str, n: int, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        check_drawn(split, n)


def test_points_are_divided_as_hashes_are() -> None:
    points = [(n + 0.5) / 1000 for n in range(1000)]
    assert Counter(map(split_at, points)) == {"test": 50, "validation": 50, "train": 900}
