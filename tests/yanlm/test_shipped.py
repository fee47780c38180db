"""The model that comes with the package: small, whole, free of this machine, and able to fill a sentence."""

from __future__ import annotations

import json

import torch
from safetensors import safe_open

from yanlm import Writer, load_model
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.io import SHIPPED, WEIGHTS_FILE, model_folder

MOST_BYTES = 16 * 2**20
CERTAIN = {
    "He put his hand <mask> his pocket.": {"in", "into", "to"},
    "She looked at him <mask> a moment.": {"for"},
    "The door was opened <mask> an old woman.": {"by"},
    "They went out <mask> the house together.": {"of", "to", "into", "from"},
    '"I do not know," said <mask> boy.': {"the", "a"},
    "He was very glad <mask> see her.": {"to"},
}
"""Sentences of which a model of English is sure."""


def test_it_is_what_is_loaded_without_a_name() -> None:
    assert model_folder() == model_folder(None) == SHIPPED
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < MOST_BYTES


def test_its_weights_are_stored_in_16_bits_and_read_as_32() -> None:
    with safe_open(SHIPPED / WEIGHTS_FILE, framework="pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"BF16"}  # noqa: SIM118
    for writing in (False, True):
        assert load_model(writing=writing).dtype == torch.float32


def test_it_fills_sentences() -> None:
    for options in ({"sampler": "diffusion", "steps": 1}, {"steps": 3}):
        outputs = Writer.load(writing=True).write(list(CERTAIN), length=1, **options)
        fits = [out.fills[0][0].strip() in words for out, words in zip(outputs, CERTAIN.values(), strict=True)]
        assert sum(fits) >= len(fits) - 2, [out.text for out in outputs]


def test_it_writes_the_most_probable_words_in_one_pass_unless_asked_otherwise() -> None:
    assert load_model(writing=True).defaults == GenerationOptions(sampler="diffusion", steps=1)


def test_how_it_was_made_is_told_without_paths_of_a_machine() -> None:
    told = json.loads((SHIPPED / "training.json").read_text(encoding="utf-8"))
    assert [record["settings"]["seed"] for record in told.values()] == [0, 0, 0, *range(1, 15)]
    assert all(record["stages"]["1"]["steps"] > 0 for record in told.values())
    for path in SHIPPED.glob("*.*"):
        if path.suffix in (".json", ".md"):
            text = path.read_text(encoding="utf-8")
            assert "/tmp" not in text and "/home" not in text and "/work" not in text, path
    assert "public domain" in (SHIPPED / "README.md").read_text(encoding="utf-8").lower()
