"""Texts of a length to be written."""

from __future__ import annotations

import pytest

from yanlm.config import YanConfig
from yanlm.studies.tools import timing


@pytest.mark.parametrize("rate", [0.25, 1.0])
@pytest.mark.parametrize("form", ["slots", "separate"])
def test_questions_of_a_length(form: str, rate: float) -> None:
    config = YanConfig(form=form, align=False)
    asked = timing.question(config, 40, rate, 0)
    masks = int((asked["source_ids"] == config.mask_token_id).sum())
    if form == "separate":
        assert asked["slots"].tolist() == [list(range(40))] and (masks == 1) == (rate == 1)
    else:
        assert asked["source_ids"].shape == (1, 40) and masks == asked["slots"].shape[1]
        assert masks == pytest.approx(40 * rate, abs=1)
        assert bool((asked["source_ids"].gather(1, asked["slots"]) == config.mask_token_id).all())
