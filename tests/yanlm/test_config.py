"""Configurations name what is wrong in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from yanlm.config import YanConfig
from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]


BAD_CONFIGS = {
    "num_experts": ({"num_experts": 0}, "num_experts"),
    "heads": ({"d_model": 30, "num_heads": 4}, "d_model"),
    "backbone": ({"backbone": "rnn"}, "backbone must be one of mamba, transformer"),
    "prediction": ({"prediction": "noise"}, "prediction"),
    "cross": ({"cross_layers": [5]}, "cross_layers"),
    "align": ({"form": "separate"}, "align"),
    "dropout": ({"dropout": 1.0}, "dropout"),
    "conv": ({"conv": 4}, "conv"),
    "unknown": ({"num_expert": 3}, "num_expert"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_configurations_are_named(name: str) -> None:
    options, message = BAD_CONFIGS[name]
    with pytest.raises(ValueError, match=message):
        YanConfig(**options)


def test_experts_that_modulate_the_trunk_need_one_expert_a_text() -> None:
    with pytest.raises(ValueError, match="scope='sequence'"):
        YanConfig(experts="trunk")
