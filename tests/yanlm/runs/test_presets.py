"""Presets, and the paper's models."""

from __future__ import annotations

import pytest

from yanlm.kinds import PRESET_NAMES
from yanlm.runs.preset_facts import preset_facts
from yanlm.runs.presets import PRESETS, get_preset


def test_help_and_completion_offer_the_presets_that_there_are() -> None:
    assert tuple(PRESETS) == PRESET_NAMES


@pytest.mark.parametrize(("name", "encoder", "flow"), [("paper-transformer", 6, 8), ("paper-mamba", 4, 6)])
def test_the_papers_models(name: str, encoder: int, flow: int) -> None:
    facts = preset_facts(name)
    config = get_preset(name).model
    assert 195e6 <= facts["parameters"]["total"] <= 215e6
    assert (config["encoder_layers"], config["flow_layers"]) == (encoder, flow)
    assert tuple(config["cross_layers"]) == (0, 1, 2, 4)  # the 1st, 2nd, 3rd and 5th
    assert (config["d_model"], config["num_experts"], config["sigma"], config["max_length"]) == (512, 6, 0.1, 2048)
    assert (config["vocab_size"], config["pad_token_id"], config["mask_token_id"]) == (128258, 128256, 128257)
    recipe = get_preset(name).recipe2
    assert (recipe.lr, recipe.warmup, recipe.schedule, recipe.weight_decay) == (1e-4, 1000, "constant", 0.01)
    assert (get_preset(name).stage2.ce, get_preset(name).stage2.steps) == ("unrolled", 4)
