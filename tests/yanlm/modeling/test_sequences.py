"""generate as transformers asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, GenerationConfig

from yanlm.generation.options import GenerationOptions
from yanlm.generation.result import Generation
from yanlm.modeling.generation_config import YanGenerationConfig
from yanlm.modeling.io import save_model
from yanlm.modeling.sequences import YanGenerationOutput
from yanlm.writer import Writer

Make = Callable[..., Any]
KINDS = ("flow", "mdlm", "gpt2", "encoder")


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_model: Make, tokenizer: Any) -> Any:
    if request.param == "gpt2":
        from yanlm.config import ARConfig
        from yanlm.modeling.autoregressive import ARModel

        ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
        torch.manual_seed(0)
        return ARModel(ARConfig(vocab_size=len(tokenizer), d_model=16, num_heads=2, layers=2, stage=1, **ids)).eval()
    options = {"encoder": {"denoiser": "encoder"}, "mdlm": {"method": "mdlm"}, "flow": {}}[request.param]
    return make_model(**options).eval()


def masked(tokenizer: Any, *texts: str, **options: Any) -> Any:
    return tokenizer(list(texts), return_tensors="pt", padding=True, **options)


def test_masks_are_filled_in_their_places(model: Any, tokenizer: Any) -> None:
    mask = tokenizer.mask_token
    given = masked(tokenizer, f"the cat {mask} on {mask} mat", f"the {mask}")
    out = model.generate(**given, steps=2, seed=0, num_return_sequences=3)
    assert isinstance(out, YanGenerationOutput) and out.sequences.shape == (6, given["input_ids"].shape[1])
    source = given["input_ids"].repeat_interleave(3, 0)
    slots = source == tokenizer.mask_token_id
    assert torch.equal(out.sequences[~slots], source[~slots]) and not (out.sequences == tokenizer.mask_token_id).any()
    assert torch.equal(out.tokens_per_forward, slots.sum(1) / out.nfe)
    again = model.generate(**given, generation_config=YanGenerationConfig(steps=2, seed=0, num_return_sequences=3))
    assert torch.equal(again.sequences, out.sequences)


def test_it_writes_what_the_writer_writes(model: Any, tokenizer: Any) -> None:
    given = masked(tokenizer, f"the cat sat on{tokenizer.mask_token * 2}")
    [written] = Writer(model, tokenizer).write("the cat sat on <mask>", length=2, seed=5, steps=2)
    sequences = model.generate(**given, steps=2, seed=5, return_dict_in_generate=False)
    assert tokenizer.decode(sequences[0, -2:]).strip() == written.fills[0][0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_without_a_mask_are_continued_whatever_side_is_padded(model: Any, tokenizer: Any, side: str) -> None:
    given = masked(tokenizer, "the cat", "the dog ran on the mat", padding_side=side)
    out = model.generate(given["input_ids"], attention_mask=given["attention_mask"], max_new_tokens=3, seed=0)
    width = given["input_ids"].shape[1]
    assert out.sequences.shape == (2, width + 3) and torch.equal(out.sequences[:, :width], given["input_ids"])
    alone = masked(tokenizer, "the cat")
    own = model.generate(**alone, max_new_tokens=3, seed=0).sequences
    assert torch.equal(own[0, -3:], out.sequences[0, -3:])
    unsaid = model.generate(given["input_ids"], max_new_tokens=3, seed=0)
    assert torch.equal(unsaid.sequences, out.sequences), "padding is no text, as transformers infers it"


def test_the_number_of_new_tokens_is_the_models_unless_given(make_model: Make, tokenizer: Any) -> None:
    given = masked(tokenizer, "the cat")
    width = given["input_ids"].shape[1]
    for options, new in (({}, 16), ({"longest_span": 4}, 4), ({"pad_to": 5}, 5)):
        assert make_model(**options).eval().generate(**given).sequences.shape[1] == width + new
    with pytest.warns(UserWarning, match="never saw more than 4"):
        out = make_model(longest_span=4).eval().generate(**given, max_new_tokens=9)
    assert out.sequences.shape[1] == width + 4


def test_the_configuration_travels_with_the_model(make_model: Make, tokenizer: Any, tmp_path: Path) -> None:
    import yanlm  # noqa: F401 - from here on transformers knows the models

    model = make_model().eval()
    model.generation_config = YanGenerationConfig(steps=5, max_new_tokens=2, seed=3)
    save_model(tmp_path / "model", model, tokenizer)
    loaded = AutoModel.from_pretrained(tmp_path / "model")
    assert isinstance(loaded.generation_config, YanGenerationConfig)
    assert (loaded.generation_config.steps, loaded.generation_config.max_new_tokens) == (5, 2)
    given = AutoTokenizer.from_pretrained(tmp_path / "model")("the cat", return_tensors="pt")
    assert torch.equal(loaded.generate(**given).sequences, model.generate(**given).sequences)
    assert loaded.generate(**given).nfe == 5
    assert model.can_generate()


def test_a_configuration_of_transformers_counts_with_what_it_sets(model: Any, tokenizer: Any) -> None:
    given = masked(tokenizer, "the cat")
    model.generation_config = YanGenerationConfig(steps=2, seed=1)
    wanted = model.generate(**given, max_new_tokens=4)
    asked = GenerationConfig(max_new_tokens=4, pad_token_id=0)
    own = model.generate(**given, generation_config=asked)
    assert torch.equal(own.sequences, wanted.sequences) and own.nfe == wanted.nfe
    assert model.generate(**given, generation_config=asked, max_new_tokens=2).sequences.shape[1] == (
        given["input_ids"].shape[1] + 2
    )
    model.generation_config = GenerationConfig(max_new_tokens=3)
    assert isinstance(model.generation_config, YanGenerationConfig) and model.defaults.samples == 1
    assert model.generate(**given, seed=1).sequences.shape[1] == given["input_ids"].shape[1] + 3
    assert Writer(model, tokenizer).write("the <mask>", length=1)
    with pytest.raises(ValueError, match="generate has no option num_beams"):
        model.generation_config = GenerationConfig(num_beams=2)
    for config, told in ((GenerationConfig(num_beams=2), "no option num_beams"), ({"steps": 2}, "got dict")):
        with pytest.raises(ValueError, match=told):
            model.generate(**given, generation_config=config)


def test_slots_are_asked_for_in_the_same_way_of_every_model(model: Any, tokenizer: Any) -> None:
    ids = torch.tensor([[5, tokenizer.mask_token_id, 7]])
    slots, how = torch.tensor([[1]]), {"seeds": [3], "options": GenerationOptions(samples=2)}
    wanted = model.generate(ids, slots=slots, **how)
    assert isinstance(wanted, Generation) and wanted.tokens.shape == (1, 2, 1)
    for source in ({"input_ids": ids}, {"source_ids": ids}):
        assert torch.equal(model.generate(**source, slots=slots, **how).tokens, wanted.tokens)
    for name in ("options", "slot_mask", "source_mask", "choices", "watcher", "validate"):
        with pytest.raises(ValueError, match=f"generate has no option {name};"):
            model.generate(ids, **{name: how["options"]})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"num_beams": 4}, "generate has no option num_beams"),
        ({"steps": 0}, "steps must be"),
        ({"max_new_tokens": 0}, "max_new_tokens must be"),
        ({"max_new_tokens": 500}, "must fit into"),
        ({"attention_mask": torch.ones(1, 1)}, "attention_mask must have shape"),
        ({"seed": "x"}, "seed must be"),
    ],
)
def test_mistakes_name_the_argument(make_model: Make, tokenizer: Any, given: dict[str, Any], told: str) -> None:
    model, ids = make_model().eval(), torch.tensor([[5, 6, 7]])
    with pytest.raises(ValueError, match=told):
        model.generate(ids, **given)
    with pytest.raises(ValueError, match="input_ids must be"):
        model.generate(torch.rand(1, 2))
    with pytest.raises(ValueError, match=r"input_ids must lie in 0 .. \d+, got 5 .. 100000"):
        model.generate(torch.tensor([[5, 100_000]]))
    with pytest.raises(ValueError, match="input_ids must be given"):
        model.generate()


def test_models_of_the_other_form_say_what_to_use(make_model: Make) -> None:
    with pytest.raises(ValueError, match=r"yanlm\.Writer"):
        make_model(form="separate", align=False).eval().generate(torch.tensor([[5, 6]]))
