"""Presets and the settings laid over them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from yanlm.runs.presets import PRESETS, Recipe
from yanlm.runs.settings import RunSettings, from_dict, resolve
from yanlm.training.schedule import TrainSettings


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


def test_a_stage_is_trained_as_the_run_and_its_recipe_say() -> None:
    settings = resolve(
        {
            "steps1": 3,
            "steps2": 5,
            "accumulate": 2,
            "save_every": 7,
            "precision": "bf16",
            "recipe1": {"lr": 0.5, "batch_size": 4, "ema": 0.9},
            "recipe2": {"lr": 0.25, "schedule": "cosine", "decay_all": True},
        }
    )
    first, second = settings.for_stage(1), settings.for_stage(2)
    assert (first.steps, second.steps, first.minutes) == (3, 5, None)
    assert (first.lr, first.batch_size, first.ema, first.accumulate, first.save_every) == (0.5, 4, 0.9, 2, 7)
    assert (second.lr, second.schedule, second.decay_all, second.precision) == (0.25, "cosine", True, "bf16")
    names = {f.name for kind in (RunSettings, Recipe) for f in dataclasses.fields(kind)}
    own = {f.name for f in dataclasses.fields(TrainSettings)} - names
    assert own == {"steps", "betas", "decay"}, "what only the loop knows of"
    timed = resolve({"minutes": 10, "share1": 0.3})
    assert (timed.for_stage(1).minutes, timed.for_stage(2).minutes, timed.for_stage(1).steps) == (3, 7, None)


@pytest.mark.parametrize("rows", [None, 7, "all"])
def test_rows_of_the_evaluation(rows: int | str | None) -> None:
    settings = resolve({"minutes": 1, "eval_rows": rows})
    assert settings.eval_rows == rows and from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize("rows", [0, -1, "some", 1.5, True])
def test_what_is_no_number_of_rows(rows: Any) -> None:
    with pytest.raises(ValueError, match="eval_rows must be"):
        resolve({"minutes": 1, "eval_rows": rows})
