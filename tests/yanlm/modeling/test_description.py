"""What is said of a model: options that matter, and the sizes of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from yanlm.config import YanConfig
from yanlm.modeling.description import count_parameters, options_in_use
from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]
KINDS: dict[str, dict[str, Any]] = {"trunk": {}, "encoder": {"denoiser": "encoder"}, "mlm": {"method": "mlm"}}


def test_options_that_say_something_of_a_model() -> None:
    names = {kind: set(options_in_use(YanConfig(**kind_options))) for kind, kind_options in KINDS.items()}
    assert "flow_layers" in names["trunk"] and not {"latent_dim", "expert_layer"} & names["trunk"]
    assert {"latent_dim", "expert_layer", "num_experts", "form"} <= names["encoder"]
    assert not {"sigma", "flow_layers", "cross_layers", "prediction", "align"} & names["encoder"]
    assert "pad_to" in names["mlm"] and not {"num_experts", "sigma", "latent_dim"} & names["mlm"]


@pytest.mark.parametrize("experts", ["heads", "source", "continuum"])
def test_parts_add_up_to_the_whole(make_model: Make, experts: str) -> None:
    model = make_model(denoiser="encoder", latent_dim=4, experts=experts)
    parts = count_parameters(model)
    assert parts["experts"] > 0 and (parts["gate"] > 0) == (experts != "continuum")
    assert sum(size for part, size in parts.items() if part != "total") == parts["total"]
    assert parts["total"] == sum(parameter.numel() for parameter in model.parameters())
