"""The table of the study of agreement: every method and task can be trained as it says."""

from __future__ import annotations

import pytest

from yanlm.config import YanConfig
from yanlm.data.builtin.puzzles import PUZZLES
from yanlm.generation.capabilities import capabilities
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.build import baseline_config, fresh_model
from yanlm.modeling.description import count_parameters
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.agreement_methods import (
    METHODS,
    PLANS,
    TaskPlan,
    can_of,
    chosen,
    data_of,
    generation_of,
    options_of,
    plan_of,
    trained_by,
)

FLOW = YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49)


def settings_of(name: str, task: str) -> RunSettings:
    """The training of a method for a task, a minute long."""
    begun = {"init": "a-folder"} if METHODS[name].teacher else {}
    return resolve(options_of(trained_by(name), PLANS[task], {}) | {"minutes": 1.0, "data": "builtin:codes"} | begun)


@pytest.mark.parametrize("task", PLANS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_every_task_is_a_run(task: str, name: str) -> None:
    settings = settings_of(name, task)
    can = capabilities(baseline_config(settings.baseline, FLOW) if settings.baseline else YanConfig(**settings.model))
    assert can == can_of(name)
    assert settings.stages == (1,) and settings.recipe1.batch_size in (32, 64)
    ways = GenerationOptions(**generation_of(name, PLANS[task]))
    can.check(ways)
    assert ways.draws or can.noise, "its samples would all be the same"


@pytest.mark.parametrize("task", PLANS)
def test_methods_of_a_task_share_optimizer_rate_and_batch(task: str) -> None:
    recipes = [settings_of(name, task).recipe1 for name in METHODS]
    assert len({(r.optimizer, r.lr, r.batch_size, r.warmup, r.schedule, r.ema) for r in recipes}) == 1


def test_the_usual_methods_are_those_that_need_not_be_asked_for() -> None:
    usual = ["one pass", "masked diffusion", "masked diffusion, confidence", "masked diffusion, margin"]
    assert chosen([]) == [*usual, "autoregressive", "uniform flow", "flow"]
    assert chosen(["flow, K = 1", "one pass"]) == ["one pass", "flow, K = 1"]
    with pytest.raises(ValueError, match="no method 'GPT'; there are one pass, masked diffusion, "):
        chosen(["flow", "GPT"])


def test_orders_share_one_training() -> None:
    orders = {METHODS[name].generate["order"] for name in METHODS if trained_by(name) == "masked diffusion"}
    assert orders == {"random", "confidence", "margin"}
    assert all(trained_by(trained_by(name)) == trained_by(name) for name in METHODS)


def test_what_is_nearer_to_the_method_counts() -> None:
    plan = TaskPlan(1.0, shared={"model": {"conv": 3}}, flow={"model": {"num_experts": 7, "scope": "span"}})
    shared = {"model": {"d_model": 48}, "methods": {"flow": {"model": {"num_experts": 2}}}}
    flow, other = options_of("flow", plan, shared), options_of("flow, K = 1", plan, shared)
    assert {"conv": 3, "d_model": 48, "num_experts": 2, "scope": "span"}.items() <= flow["model"].items()
    assert other["model"]["num_experts"] == 1 and other["model"]["scope"] == "span" and "methods" not in other
    assert "scope" not in options_of("one pass", plan, shared)["model"] and shared["methods"], "it was changed"


def test_data_of_a_task_with_settings() -> None:
    assert data_of(TaskPlan(1.0), "builtin:codes:groups=4") == ["builtin:codes:groups=4"]
    assert data_of(PLANS["statements"], "builtin:statements")[1] == "builtin:statements@0.5"
    assert plan_of("codes") is PLANS["codes"] and all(plan_of(name).minutes > 0 for name in PUZZLES)


def test_experts_and_width_come_to_as_many_parameters() -> None:
    sizes = {}
    for name in ("one pass", "masked diffusion", "uniform flow", "flow"):
        settings = settings_of(name, "codes")
        ids = {"vocab_size": 21, "pad_token_id": 19, "mask_token_id": 20}
        config = YanConfig(**(settings.model | ids))
        model = fresh_model(baseline_config(settings.baseline, config) if settings.baseline else config, 0)
        sizes[name] = count_parameters(model)["total"]
    assert max(sizes.values()) < 1.1 * min(sizes.values()), sizes
