"""Model folders: what is written is read back, and what is damaged is refused with the reason."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from yanlm.modeling.io import INDEX_FILE, load_model, model_folder, save_model
from yanlm.modeling.yan import YanModel
from yanlm.nn import half_precision
from yanlm.writer import Writer

Make = Callable[..., YanModel]


def test_the_folder_of_a_model(make_model: Make, tokenizer: Any, tmp_path: Path) -> None:
    save_model(str(tmp_path / "run" / "stage2"), make_model(), tokenizer, {"seed": 0})
    assert model_folder(tmp_path / "run") == tmp_path / "run" / "stage2"
    assert model_folder(str(tmp_path / "run")) == tmp_path / "run" / "stage2"
    with pytest.raises(ValueError, match="train a model first"):
        model_folder(tmp_path / "none")
    with pytest.raises(ValueError, match=r"name one of them: .*run"):
        model_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no model"):
        model_folder(tmp_path / "empty")


@pytest.mark.parametrize("writing", [False, True])
def test_weights_in_several_files(make_model: Make, tokenizer: Any, tmp_path: Path, writing: bool) -> None:
    model = make_model()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    assert Writer.load(tmp_path, writing=writing).write("the <mask>", length=2) == (
        Writer(model, tokenizer).write("the <mask>", length=2)
    )
    index = tmp_path / INDEX_FILE
    for content in ("[]", "{", '{"weight_map": {"a": 5}}', '{"weight_map": {"a": "../model.safetensors"}}'):
        index.write_text(content)
        with pytest.raises(ValueError, match=f"{INDEX_FILE} is damaged"):
            load_model(tmp_path, writing=writing)
    index.write_text('{"weight_map": {"a": "none.safetensors"}}')
    with pytest.raises(ValueError, match="cannot load the model in"):
        load_model(tmp_path, writing=writing)


def test_damaged_files_are_named(make_model: Make, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path, make_model(), tokenizer)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot load the model"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ValueError, match="gpt2"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["flow", "mlm", "gpt2"])
def test_weights_that_are_not_finite_are_refused(
    make_kind: Callable[..., Any], tokenizer: Any, tmp_path: Path, kind: str, value: float
) -> None:
    save_model(tmp_path, make_kind(kind), tokenizer)
    tensors = load_file(tmp_path / "model.safetensors")
    for name in (sorted(tensors)[0], sorted(tensors)[-1]):  # one number in one tensor
        damaged = {other: tensor.clone() for other, tensor in tensors.items()}
        damaged[name].view(-1)[-1] = value
        save_file(damaged, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=rf"model.safetensors holds numbers that are not finite, in \S*{name}"):
            load_model(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(load_model(tmp_path).state_dict()[name], tensors[name])


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_have_the_mode_that_the_umask_gives(
    make_model: Make, tokenizer: Any, tmp_path: Path, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        save_model(tmp_path / "run" / "stage1", make_model(), tokenizer, {"seed": 0})
    finally:
        os.umask(before)
    files = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run" / "stage1").iterdir()}
    assert set(files.values()) == {mode} and {"model.safetensors", "config.json", "run.json"} <= files.keys()


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 3.5])
def test_a_device_that_is_not_there_is_refused(device: Any) -> None:
    with pytest.raises(ValueError, match="device must be one that torch has here"):
        load_model(device=device)


def test_bfloat16_warns_where_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_precision, "_lacks_bfloat16", lambda: True)
    with pytest.warns(UserWarning, match="no instructions for bfloat16.*: use precision 'float32'"):
        assert load_model(precision="bfloat16").dtype == torch.bfloat16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model().dtype == torch.float32
