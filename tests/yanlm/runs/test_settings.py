"""Presets and the settings laid over them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from yanlm.runs.presets import PRESETS, describe, get_preset
from yanlm.runs.settings import from_dict, resolve


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_themselves(name: str) -> None:
    facts = describe(name)
    parts = facts["parameters"]
    assert list(parts) == ["embedding", "encoder", "flow", "experts", "gate", "decoder", "total"]
    assert sum(value for part, value in parts.items() if part != "total") == parts["total"]
    json.dumps(facts)


@pytest.mark.parametrize(("name", "encoder", "flow"), [("paper-transformer", 6, 8), ("paper-mamba", 4, 6)])
def test_the_papers_models(name: str, encoder: int, flow: int) -> None:
    facts = describe(name)
    config = get_preset(name).model
    assert 195e6 <= facts["parameters"]["total"] <= 215e6
    assert (config["encoder_layers"], config["flow_layers"]) == (encoder, flow)
    assert tuple(config["cross_layers"]) == (0, 1, 2, 4)  # the 1st, 2nd, 3rd and 5th
    assert (config["d_model"], config["num_experts"], config["sigma"], config["max_length"]) == (512, 6, 0.1, 2048)
    assert (config["vocab_size"], config["pad_token_id"], config["mask_token_id"]) == (128258, 128256, 128257)
    recipe = get_preset(name).recipe2
    assert (recipe.lr, recipe.warmup, recipe.schedule, recipe.weight_decay) == (1e-4, 1000, "constant", 0.01)
    assert (get_preset(name).stage2.ce, get_preset(name).stage2.steps) == ("unrolled", 4)


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_json(name: str) -> None:
    settings = resolve({"preset": name, "data": ["a.txt", "b.txt"], "weights": [1, 3], "recipe1": {"batch_size": 6}})
    assert from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_options_win_over_the_preset() -> None:
    settings = resolve(
        {
            "preset": "tiny",
            "minutes": 10,
            "share1": 0.5,
            "model": {"num_experts": 7},
            "stage2": {"objective": "consistent", "beta": [1.0, 2.0]},
            "recipe1": {"masking": {"rate": [0.1, 0.2]}},
        }
    )
    assert settings.model["num_experts"] == 7 and settings.model["d_model"] == PRESETS["tiny"].model["d_model"]
    assert settings.stage2.objective == "consistent" and settings.stage2.beta == (1.0, 2.0)
    assert settings.recipe1.masking.rate == (0.1, 0.2)
    assert settings.recipe1.masking.clean == PRESETS["tiny"].recipe1.masking.clean
    assert (settings.stage_minutes(1), settings.stage_minutes(2)) == (5, 5)
    assert resolve({"minutes": 4, "stage": "1"}).stage_minutes(1) == 4


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "preset": ({"preset": "huge"}, "preset must be one of"),
    "unknown": ({"minuts": 3}, "minuts"),
    "both lengths": ({"minutes": 3, "steps1": 5}, "not both"),
    "one stage's steps": ({"steps1": 5}, "steps2"),
    "stage": ({"stage": "3", "minutes": 1}, "stage must be one of"),
    "group": ({"stage2": {"sigma": 1}}, "stage2 has no setting 'sigma'"),
    "masking": ({"recipe1": {"masking": {"rat": 1}}}, "recipe1.masking"),
    "objective": ({"stage2": {"objective": "vfm"}}, "objective"),
    "table": ({"stage1": 3}, "stage1 must be a table"),
    "seed": ({"seed": -1}, "seed"),
    "minutes": ({"minutes": 0}, "minutes"),
    "steps": ({"steps1": 0, "steps2": 1}, "steps1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_named(name: str) -> None:
    options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        resolve(options)


def test_saved_settings_of_another_version_are_named() -> None:
    saved = resolve({"minutes": 1}).to_dict()
    with pytest.raises(ValueError, match="stage1 has no setting"):
        from_dict(saved | {"stage1": {"lambda": 1}})
    with pytest.raises(ValueError, match="do not fit"):
        from_dict(saved | {"colour": "red"})
