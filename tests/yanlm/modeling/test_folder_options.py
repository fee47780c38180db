"""Defaults of generation that a model folder holds: who takes them, and what has the last word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.modeling.folder_options import OPTIONS_FILE, folder_options
from yanlm.modeling.generation_config import YanGenerationConfig
from yanlm.modeling.io import load_model, save_model
from yanlm.writer import Writer


@pytest.fixture
def folder(make_model: Any, tokenizer: Any, tmp_path: Path) -> Path:
    """A model that writes in two passes of masked diffusion unless one says otherwise."""
    model = make_model(denoiser="encoder").eval()
    model.generation_config = YanGenerationConfig(sampler="diffusion", steps=2, num_return_sequences=3)
    save_model(tmp_path / "model", model, tokenizer)
    return tmp_path / "model"


def test_a_folder_without_the_file_has_the_defaults_of_the_package(tmp_path: Path) -> None:
    assert folder_options(tmp_path) == DEFAULTS


@pytest.mark.parametrize("writing", [False, True])
def test_what_is_named_goes_over_the_folder_and_that_over_the_package(folder: Path, writing: bool) -> None:
    text, writer = "the <mask> sat on <mask>", Writer.load(folder, writing=writing)
    assert writer.model.defaults == GenerationOptions(sampler="diffusion", steps=2) == folder_options(folder)
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"sampler": "diffusion", "steps": 2}),
        ({"steps": 1}, {"sampler": "diffusion", "steps": 1}),
        ({"order": "margin"}, {"sampler": "diffusion", "steps": 2, "order": "margin"}),
        ({"sampler": "flow"}, {"steps": 3}),  # two passes were chosen for diffusion
        ({"z0_scale": 0.5}, {"steps": 3, "z0_scale": 0.5}),  # that has no noise
        ({"options": GenerationOptions(steps=4)}, {"steps": 4}),
    ]
    for named, meant in ways:
        [out] = writer.write(text, length=2, **named)
        [wanted] = writer.write(text, length=2, options=GenerationOptions(**meant))
        assert out == wanted and out.nfe == wanted.nfe, named


def test_transformers_generate_follows_the_same_order(folder: Path, tokenizer: Any) -> None:
    model = load_model(folder)
    ids = tokenizer(f"the {tokenizer.mask_token} sat on {tokenizer.mask_token} mat", return_tensors="pt")["input_ids"]
    assert model.generate(ids).nfe == 2 and model.generate(ids, steps=1).nfe == 1
    assert model.generate(ids).experts is None and model.generate(ids, z0_scale=0.5).nfe == 3
    assert model.generate(ids, generation_config=YanGenerationConfig()).nfe == 3


@pytest.mark.parametrize("writing", [False, True])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "Expecting"),
        ("[]", "no table"),
        (json.dumps({"steps": 0}), "steps must be"),
        (json.dumps({"num_beams": 4}), "no option num_beams"),
        (json.dumps({"temperature": [1]}), "temperature must be"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, writing: bool, content: str, told: str) -> None:
    (folder / OPTIONS_FILE).write_text(content)
    with pytest.raises(ValueError, match=rf"{OPTIONS_FILE} cannot be used: .*{told}.*; mend it, or remove it"):
        load_model(folder, writing=writing)
