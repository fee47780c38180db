"""How long later stages take."""

from __future__ import annotations

from typing import Any

import pytest

from yanlm.runs.remaining import ROW_COST, later_seconds
from yanlm.runs.settings import resolve


@pytest.mark.parametrize(
    ("options", "stage", "seconds"),
    [
        ({"minutes": 10}, 1, 450.0),
        ({"minutes": 10}, 2, 0.0),
        ({"minutes": 10, "eval_rows": 50}, 1, 360.0),
        ({"steps1": 10, "steps2": 40}, 1, 40 * 2.0 * 1.25),
        ({"minutes": 10, "baseline": "gpt2"}, 1, 0.0),
        ({"minutes": 10, "model": {"denoiser": "encoder"}}, 1, 0.0),
    ],
)
def test_later_stages_count_with_their_evaluation(options: dict[str, Any], stage: int, seconds: float) -> None:
    assert later_seconds(resolve(options), stage, trained=20.0, step=10) == pytest.approx(seconds)


def test_a_given_number_of_rows_counts_at_the_pace_of_training() -> None:
    settings = resolve({"minutes": 10, "eval_rows": 50})
    a_row = 20.0 / (10 * settings.recipe2.batch_size)
    assert later_seconds(settings, 1, trained=20.0, step=10, rows=50) == pytest.approx(360 + 50 * ROW_COST * a_row)
    assert later_seconds(settings, 2, trained=20.0, step=10, rows=50) == 0.0
