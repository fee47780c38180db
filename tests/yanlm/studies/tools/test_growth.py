"""Growth with the length."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.studies.tools.growth import fitted

numbers = st.floats(1e-6, 1e3)


def rows(*factors: float, lengths: Any = (64, 256, 512, 1024, 2048)) -> list[dict[str, Any]]:
    a, b, c = factors
    return [{"model": "m", "batch": 8, "length": n, "seconds": a + b * n + c * n**2} for n in lengths]


@given(numbers, numbers, numbers)
def test_what_made_the_numbers_comes_back(a: float, b: float, c: float) -> None:
    fit = fitted(rows(a, b / 100, c / 1e5))["m, batch = 8"]
    assert fit["largest_error"] < 1e-5
    assert sum(fit[name] * 300**power for power, name in enumerate(list(fit)[:3])) == pytest.approx(
        a + b / 100 * 300 + c / 1e5 * 300**2, rel=1e-4
    )


def test_nothing_shrinks_with_the_length() -> None:
    falling = [{"model": "m", "batch": 1, "length": n, "seconds": 1 / n} for n in (1, 2, 3, 4)]
    assert min(list(fitted(falling)["m, batch = 1"].values())[:3]) >= 0


def test_three_lengths_say_nothing() -> None:
    assert fitted(rows(1, 1, 1, lengths=(1, 2, 3))) == {}
