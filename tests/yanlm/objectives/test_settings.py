"""Settings of the objectives name what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from yanlm.modeling.yan import YanModel
from yanlm.objectives.settings import Stage1, Stage2

Make = Callable[..., YanModel]


def test_bad_settings_are_named() -> None:
    for bad in (
        {"objective": "vfm"},
        {"ce": "none"},
        {"freeze": "some"},
        {"flow": -1.0},
        {"zero_share": 2.0},
        {"steps": 0},
    ):
        with pytest.raises(ValueError):
            Stage2(**bad)
    with pytest.raises(ValueError, match="mmd"):
        Stage1(mmd=-1.0)
    for share in (1.5, -0.1):
        with pytest.raises(ValueError, match="known"):
            Stage1(known=share)


def test_posterior_has_a_routing_loss_of_its_own() -> None:
    with pytest.raises(ValueError, match="objective at 'paper'"):
        Stage2(ce="posterior", objective="consistent")


def test_bandwidths_are_the_papers() -> None:
    from moefm.regularizers import BANDWIDTHS

    assert Stage1().bandwidths == BANDWIDTHS
