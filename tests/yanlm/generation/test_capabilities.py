"""What a model says it can is what it does: every option it has is taken, every other refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanlm.config import BASELINES, YanConfig
from yanlm.generation.capabilities import CAPABILITIES, capabilities
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.ensemble import Ensemble
from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]
SOURCE, SLOTS = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 2]])


@pytest.fixture(params=[*CAPABILITIES, "separate", "encoder"])
def model(request: pytest.FixtureRequest, make_kind: Callable[..., Any]) -> Any:
    if request.param == "encoder":
        return make_kind("flow", denoiser="encoder", num_experts=2)
    if request.param == "separate":
        return make_kind("flow", form="separate", align=False)
    return make_kind(request.param)


def takes(model: Any, **options: Any) -> bool:
    try:
        model.generate(SOURCE, slots=SLOTS, **options)
    except ValueError:
        return False
    return True


def test_it_takes_what_it_says(model: Any) -> None:
    assert model.can.routing == takes(model, routing="greedy")
    assert takes(model, solver="heun") == (model.can.routing and not model.can.denoises)
    assert model.can.denoises == takes(model, candidates=2) == takes(model, sampler="diffusion")
    assert model.can.noise == takes(model, z0_scale=0.5)
    assert model.can.temperature == takes(model, temperature=0.5)
    assert model.can.order == takes(model, order="random") == takes(model, order="margin")
    assert not model.can.reread or takes(model, reread=True, order="random")
    assert model.can.reread == takes(model, reread=True) == takes(model, reread=True, temperature=0.5)
    assert takes(model, steps=2, samples=2)


def test_known_answers_are_compared_and_nothing_is_drawn(model: Any) -> None:
    choices = torch.tensor([[5, 6], [7, 8]])
    assert takes(model, choices=choices)
    assert not takes(model, choices=choices, order="margin")
    assert not takes(model, choices=choices, temperature=0.5) and not takes(model, choices=choices, reread=True)


def test_it_is_what_it_says(model: Any) -> None:
    passes = {steps: model.generate(SOURCE, slots=SLOTS, steps=steps).nfe for steps in (1, 2)}
    assert model.can.steps == (passes == {1: 1, 2: 2})
    alike = [model.generate(SOURCE, slots=SLOTS, seeds=[seed], steps=1).tokens.tolist() for seed in range(9)]
    assert model.can.noise or all(tokens == alike[0] for tokens in alike)
    for options in ({}, {"order": "random"}, {"temperature": 1.0}):
        assert model.can.draws(GenerationOptions(**options)) == (model.can.noise or bool(options))
    assert model.can.lengths == hasattr(model, "generate_free")
    assert model.can.latents == hasattr(model, "encode")
    assert model.can.method == model.config.method


def test_diffusion_by_a_flow_is_masked_diffusion(make_model: Make) -> None:
    model = make_model(denoiser="encoder")
    diffusion = GenerationOptions(sampler="diffusion", steps=2)
    assert model.can.draws(GenerationOptions()) and not model.can.draws(diffusion)
    assert model.can.draws(GenerationOptions(sampler="diffusion", order="random"))
    alike = [model.generate(SOURCE, slots=SLOTS, seeds=[seed], options=diffusion).tokens.tolist() for seed in range(4)]
    assert all(tokens == alike[0] for tokens in alike)
    assert takes(model, sampler="diffusion", order="margin", temperature=1.0)
    for name, value in {"z0_scale": 0.5, "routing": "mean", "reread": True, "candidates": 2}.items():
        with pytest.raises(ValueError, match=f"{name} is an option of the flow, and sampler='diffusion' has none"):
            model.generate(SOURCE, slots=SLOTS, sampler="diffusion", **{name: value})


def test_every_kind_is_there() -> None:
    assert set(CAPABILITIES) == {"flow", *BASELINES}
    assert [can.method for can in CAPABILITIES.values()] == list(CAPABILITIES)


def test_a_flow_after_stage_1_has_nothing_to_generate_with() -> None:
    capabilities(YanConfig(stage=2)).check_trained()
    capabilities(YanConfig(method="mdlm", stage=1)).check_trained()
    with pytest.raises(ValueError, match="went through stage 1 alone and has no flow yet"):
        capabilities(YanConfig(stage=1)).check_trained()


def test_models_together_only_choose(make_model: Make) -> None:
    both = Ensemble([make_model(), make_model()])
    assert not both.can.write and make_model().can.write and both.can.routing
