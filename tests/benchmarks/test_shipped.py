"""The difference between two models on the same passages, and its interval."""

from __future__ import annotations

import random
import re
from types import ModuleType

import pytest

from yanlm import Writer


@pytest.fixture(scope="module")
def shipped(benchmark_file: ModuleType) -> ModuleType:
    return benchmark_file


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]\.?\d*\.\d+", cell)]


def test_equal_models_do_not_differ(shipped: ModuleType) -> None:
    counts = [(1, 3), (0, 2), (2, 2)]
    assert numbers(shipped.against(counts, counts)) == [0, 0, 0]


def test_the_interval_is_of_the_difference_and_may_be_negative(shipped: ModuleType) -> None:
    draw = random.Random(0)
    better = [(draw.choice([1, 2, 3]), 4) for _ in range(400)]
    worse = [(hits - 1, total) for hits, total in better]
    mean, low, high = numbers(shipped.against(worse, better))
    assert mean == low == high == -0.25  # paired: what the rows have in common does not widen it
    mixed = [(hits - draw.choice([0, 1]), total) for hits, total in better]
    mean, low, high = numbers(shipped.against(mixed, better))
    assert -0.25 < low < mean < high < 0


def test_models_with_other_tokens_are_not_subtracted(shipped: ModuleType) -> None:
    assert shipped.against([(1, 3)], [(1, 2)]) == ""


def test_a_row_whose_masks_do_not_all_fit_is_left_out(shipped: ModuleType) -> None:
    writer = Writer.load()
    row = {"source": "A <mask> sat down.", "target": ["king"]}
    long = " Then he stood up again." * 40
    assert shipped.fits(writer, row)
    assert shipped.fits(writer, {**row, "source": long + row["source"]})  # words before the mask can be left out
    assert not shipped.fits(writer, {**row, "source": row["source"] + long})
