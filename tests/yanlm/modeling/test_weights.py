"""A configuration is held against the header of its weights before anything is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from yanlm.config import ARConfig
from yanlm.modeling.build import fresh_model
from yanlm.modeling.io import load_model, save_model
from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]


@pytest.fixture(params=["flow", "learned", "mamba", "mlm", "gpt2", "bart"])
def folder(request: pytest.FixtureRequest, make_model: Make, tokenizer: Any, tmp_path: Path) -> Path:
    options: dict[str, dict[str, Any]] = {
        "flow": {"conv": 3},
        "learned": {"positions": "learned", "scope": "sequence", "experts": "source"},
        "mamba": {"backbone": "mamba"},
        "mlm": {"method": "mlm"},
    }
    ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
    if request.param in options:
        model: Any = make_model(**options[request.param])
    else:
        config = ARConfig(method=request.param, vocab_size=len(tokenizer), d_model=16, num_heads=2, layers=3, **ids)
        model = fresh_model(config, 0)
    save_model(tmp_path, model, tokenizer)
    return tmp_path


def with_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_sizes_that_the_weights_do_not_have_are_refused_at_once(folder: Path) -> None:
    own = json.loads((folder / "config.json").read_text())
    used = {"layers", "encoder_layers", "flow_layers", "vocab_size", "d_model", "ffn_mult", "num_experts", "max_span"}
    if own.get("method") == "mlm":
        used -= {"flow_layers", "num_experts"}
    for name in sorted(used & own.keys()):
        for value in (10**9, 10**18, own[name] + (16 if name == "d_model" else 1)):
            with_config(folder, **(own | {name: value}))
            with pytest.raises(ValueError, match=rf"cannot load .*({name} is {value}|by config.json|lacks)"):
                load_model(folder)
    with_config(folder, **(own | {"mask_token_id": own["vocab_size"]}))
    with pytest.raises(ValueError, match="mask_token_id must"):
        load_model(folder)
    with_config(folder, **own)
    load_model(folder)


def test_a_shape_that_does_not_match_is_named_with_both(make_model: Make, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path, make_model(), tokenizer)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    good = dict(weights)

    def failing(changed: dict[str, torch.Tensor]) -> str:
        save_file(changed, file, {"format": "pt"})
        with pytest.raises(ValueError) as caught:
            load_model(tmp_path)
        return str(caught.value)

    name = "flow.inputs.weight"
    said = failing(good | {name: torch.zeros(16, 17)})
    assert f"{name} has the shape (16, 17) in model.safetensors, and (16, 16) by config.json" in said
    assert "lacks flow.inputs.weight" in failing({n: x for n, x in good.items() if n != name})
    assert "holds flow.other, for which" in failing(good | {"flow.other": torch.zeros(2)})
    assert "is of type I64" in failing(good | {name: torch.zeros(16, 16, dtype=torch.long)})
    assert "lacks" in failing({"a": torch.zeros(1)}) or "encoder_layers" in failing({"a": torch.zeros(1)})
    for damaged in (b"", b"\x00" * 7, b"\xff" * 64, file.read_bytes()[:-5]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cannot load the model in .*model.safetensors is damaged") as caught:
            load_model(tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "5", "{", '{"model_type": ["yan"]}', '{"model_type": "gpt2"}', '"' + " " * 2**20]
)
def test_a_config_json_of_another_form_is_one_line(
    make_model: Make, tokenizer: Any, tmp_path: Path, content: str
) -> None:
    save_model(tmp_path, make_model(), tokenizer)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="cannot load the model in") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)
