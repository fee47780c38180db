"""Options of generation: checked once, given as an object or by name, never lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
import torch

from moefm.routing import Greedy
from yanlm.generation.options import FLOW_OPTIONS, GenerationOptions, generation_options
from yanlm.modeling.yan import YanModel

SOURCE, SLOTS = torch.tensor([[1, 2, 3]]), torch.tensor([[1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"steps": 2.5}, "steps must be an integer"),
        ({"samples": 0}, "samples"),
        ({"z0_scale": 0.0}, "z0_scale"),
        ({"z0_scale": float("inf")}, "z0_scale"),
        ({"z0_scale": 1e38}, "z0_scale must be at most 1000, got 1e"),
        ({"perturb": 1e308}, "perturb must be at most 1000, got 1e"),
        ({"temperature": -1.0}, "temperature must be a finite number of at least 0, got -1.0"),
        ({"temperature": float("nan")}, "temperature"),
        ({"routing": "best"}, "routing must be one of"),
        ({"solver": "rk5"}, "solver must be one of"),
        ({"routing": "resampled", "solver": "dopri5"}, "fixed-step solver"),
        ({"reread": True, "solver": "heun"}, "reread takes one Euler step a turn"),
        ({"temperature": "1"}, "temperature"),
        ({"order": "surest"}, "order must be one of"),
        ({"reread": "yes"}, "reread must be True or False, got 'yes'"),
        ({"device_noise": 1}, "device_noise must be True or False, got 1"),
        ({"device_noise": True, "reread": True}, "device_noise is of a flow that does not reread"),
        ({"seeds": 3}, "seeds must hold one integer for each row, got 3"),
        ({"seeds": [1, 2.5]}, "seeds must hold one integer for each row"),
        ({"steps": True}, "steps must be an integer"),
        (
            {"guidance": 2.0},
            "no option 'guidance'; its options are candidates, device_noise, order, perturb, reread, routing, sampler",
        ),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generation_options(None, options)


def test_keywords_have_the_last_word() -> None:
    options = generation_options(GenerationOptions(steps=8, samples=2), {"steps": 5, "seeds": [1, 2]})
    assert (options.steps, options.samples, options.seeds) == (5, 2, (1, 2))
    assert generation_options(None, {}) == GenerationOptions()
    with pytest.raises(FrozenInstanceError):
        options.steps = 1  # type: ignore[misc]


def test_numbers_of_numpy_and_torch_are_plain_numbers() -> None:
    given = {"steps": np.int64(2), "samples": np.int8(2), "z0_scale": np.float32(0.5), "temperature": np.float64(1)}
    options = GenerationOptions(**given, seeds=np.arange(2))  # type: ignore[arg-type]
    assert options == GenerationOptions(steps=2, samples=2, z0_scale=0.5, temperature=1.0, seeds=torch.arange(2))  # type: ignore[arg-type]
    assert [type(getattr(options, name)) for name in (*given,)] == [int, int, float, float]
    assert options.seeds is not None and [type(seed) for seed in options.seeds] == [int, int]


def test_a_temperature_and_a_random_order_draw() -> None:
    assert not GenerationOptions(order="margin").draws and not GenerationOptions().draws
    assert GenerationOptions(order="random").draws and GenerationOptions(temperature=0.5).draws


def test_options_of_the_flow_are_options() -> None:
    assert FLOW_OPTIONS.keys() <= {field.name for field in fields(GenerationOptions)} and len(FLOW_OPTIONS) == 8


@pytest.mark.parametrize("method", ["flow", "mlm", "mdlm"])
def test_an_object_and_keywords_are_the_same(make_model: Callable[..., YanModel], method: str) -> None:
    model = make_model(method=method)
    chosen: dict[str, Any] = {"steps": 2, "samples": 3, "seeds": [7]}
    chosen |= {"routing": Greedy(), "z0_scale": 0.5} if method == "flow" else {"temperature": 0.7}
    named = model.generate(SOURCE, slots=SLOTS, **chosen)
    given = model.generate(SOURCE, slots=SLOTS, options=GenerationOptions(**chosen))
    mixed = model.generate(SOURCE, slots=SLOTS, options=GenerationOptions(**{**chosen, "seeds": [8]}), seeds=[7])
    assert torch.equal(named.tokens, given.tokens) and torch.equal(named.tokens, mixed.tokens)
