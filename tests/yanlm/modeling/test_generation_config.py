"""The configuration of generate as transformers has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import GenerationConfig

from yanlm.generation.options import GenerationOptions
from yanlm.modeling.generation_config import OPTIONS, YanGenerationConfig


def test_other_models_options_are_refused() -> None:
    with pytest.raises(ValueError, match="no option top_k"):
        YanGenerationConfig(top_k=3)
    assert isinstance(YanGenerationConfig(), GenerationConfig)
    assert YanGenerationConfig.from_dict(YanGenerationConfig(steps=7).to_dict()).steps == 7


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    YanGenerationConfig(steps=7, seed=4, temperature=0.5, order="random").save_pretrained(tmp_path)
    loaded = YanGenerationConfig.from_pretrained(tmp_path)
    assert (loaded.steps, loaded.seed, loaded.temperature, loaded.order) == (7, 4, 0.5, "random")
    assert loaded.options() == GenerationOptions(steps=7, temperature=0.5, order="random")


def test_every_option_is_checked_as_ours_are() -> None:
    assert YanGenerationConfig().options() == GenerationOptions()
    for name in OPTIONS:
        with pytest.raises(ValueError, match=name.removesuffix("s")):
            YanGenerationConfig(**{name: "nothing" if name in ("routing", "order", "sampler") else -1})
    with pytest.raises(ValueError, match="num_return_sequences"):
        YanGenerationConfig(num_return_sequences=0)
