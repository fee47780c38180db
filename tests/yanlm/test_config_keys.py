"""Keys of a config.json that are not ours, and values beyond all use."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, PretrainedConfig

from yanlm.config import ARConfig, YanConfig

KINDS = pytest.mark.parametrize("kind", [YanConfig, ARConfig])


@KINDS
@pytest.mark.parametrize(
    "extra",
    [
        {"use_cache": False, "bos_token_id": 1, "eos_token_id": 2, "quantization_config": None},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}, "tie_encoder_decoder": False},
        {"temperature": 0.7, "num_beams": 4, "do_sample": True, "min_length": 3, "return_dict": True},
        {"_name_or_path": "x", "_commit_hash": "abc", "torch_dtype": "float32", "transformers_version": "4.40.0"},
        PretrainedConfig().to_dict() | {"model_type": "yan"},
    ],
)
def test_what_hugging_face_writes_loads_without_a_word(kind: Any, extra: dict[str, Any], tmp_path: Any) -> None:
    kind(d_model=64).save_pretrained(tmp_path)
    values = kind(d_model=64).to_dict() | extra | {"model_type": kind.model_type}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = kind.from_dict(values)
        config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is kind and again.d_model == 64 and again.to_diff_dict() == config.to_diff_dict()
    assert not hasattr(config, "quantization_config")


@KINDS
def test_what_nobody_knows_is_left_out_with_one_warning(kind: Any) -> None:
    with pytest.warns(UserWarning, match=f"config.json: {kind.__name__} does not know d_modle, to_dict$") as caught:
        config = kind.from_dict({"d_modle": 64, "to_dict": 1, "d_model": 32})
    assert len(caught) == 1 and config.d_model == 32 and callable(config.to_dict)
    with pytest.raises(ValueError, match="has no option d_modle"):  # a misspelt option of a call is an error
        kind(d_modle=64)


@KINDS
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"_attn_implementation": "flash_attention_2"}, "_attn_implementation chooses code to run"),
        ({"attn_implementation": "someone/kernel"}, "attn_implementation chooses code"),
        ({"_experts_implementation": "x"}, "_experts_implementation chooses code"),
        ({"num_labels": 10**9}, "num_labels must be at most 10000, got 1000000000"),
        ({"pad_to": 10**9}, "pad_to must be at most 4096"),
        ({"pad_to": 256, "max_length": 256}, "pad_to must be below max_length=256"),
        ({"max_length": 10**12}, "max_length must be at most"),
        ({"id2label": ["a"]}, "id2label must be a table"),
        ({"dtype": "load"}, "dtype must be one of bfloat16"),
        ({"d_model": "128"}, "d_model must be an integer"),
        ({"stage": [1]}, "stage must be an integer"),
        ({"mask_token_id": {}}, "mask_token_id must"),
        ({"dropout": "0"}, r"dropout must lie in \[0, 1\)"),
    ],
)
def test_values_beyond_use_are_named(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind.from_dict(values)


@pytest.mark.parametrize("layers", [7, "0", ["0"], [None], [-1], {"0": 1}])
def test_cross_layers_are_a_list_of_numbers(layers: Any) -> None:
    with pytest.raises(ValueError, match="cross_layers must lie in 0"):
        YanConfig.from_dict({"cross_layers": layers})
    with pytest.raises(ValueError, match="align must be true or false"):
        YanConfig.from_dict({"align": "no"})


def test_what_slots_show_is_the_noisy_vector_in_a_file_that_does_not_say(tmp_path: Path) -> None:
    few, many = {"vocab_size": 1024, "pad_token_id": 0, "mask_token_id": 1}, {"vocab_size": 4096}
    assert YanConfig(**few).slot_input == "mean" and YanConfig(**many).slot_input == "vector"
    assert YanConfig.from_dict(few).slot_input == "vector"
    for slot_input in ("mean", "vector"):
        for size in (few, many):
            YanConfig(**size, slot_input=slot_input).save_pretrained(tmp_path)
            assert YanConfig.from_pretrained(tmp_path).slot_input == slot_input
    with pytest.raises(ValueError, match="slot_input must be one of"):
        YanConfig(slot_input="noise")
