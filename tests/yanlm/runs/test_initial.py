"""What a run takes over from the model that it begins from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.files import write_json
from yanlm.runs.finetuning import finetune_settings
from yanlm.runs.settings import resolve
from yanlm.tokenization.tokenizer import train_tokenizer


def begun(models: Path, kind: str, **options: Any) -> dict[str, Any]:
    baseline = {} if kind == "flow" else {"baseline": kind}
    return resolve({"minutes": 1, "init": str(models / kind), **baseline, **options}).to_dict()


@pytest.mark.parametrize("kind", ["flow", "mlm"])
def test_sizes_are_those_of_the_model(models: Path, kind: str) -> None:
    config = json.loads((models / kind / "config.json").read_text())
    settings = begun(models, kind, preset="small", model={"d_model": config["d_model"], "num_experts": 3})
    assert settings["model"]["d_model"] == config["d_model"] and settings["model"]["num_experts"] == 3
    assert begun(models, kind, preset="small")["model"]["d_model"] == config["d_model"]
    with pytest.raises(ValueError, match=f"model.d_model is {config['d_model']} in the model of --init .*, got 999"):
        begun(models, kind, model={"d_model": 999})


def test_the_tokenizer_is_that_of_the_model(models: Path, tmp_path: Path) -> None:
    size = json.loads((models / "flow" / "config.json").read_text())["vocab_size"]
    assert begun(models, "flow", tokenizer=f"bpe:{size}")["tokenizer"] == f"bpe:{size}"
    with pytest.raises(ValueError, match="has a tokenizer of its own: leave out --tokenizer words:7"):
        begun(models, "flow", tokenizer="words:7")
    assert begun(models, "flow", tokenizer=str(models / "flow"))["tokenizer"] == str(models / "flow")
    train_tokenizer(["other words"], 300).save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="has a tokenizer of its own: leave out --tokenizer "):
        begun(models, "flow", tokenizer=str(tmp_path / "other"))
    own = tmp_path / "copy"
    own.mkdir()
    for file in (models / "flow").iterdir():
        (own / file.name).symlink_to(file)
    (own / "run.json").unlink(missing_ok=True)
    write_json(own / "run.json", {"settings": {"tokenizer": "words:900"}})
    for given in ({}, {"tokenizer": "words:900"}):
        assert resolve({"minutes": 1, "init": str(own), **given}).tokenizer == "words:900"


@pytest.mark.parametrize("kind", ["flow", "mlm"])
def test_a_folder_with_the_tokenizer_of_another_model_is_refused_before_any_training(
    models: Path, tmp_path: Path, kind: str
) -> None:
    broken = tmp_path / kind
    broken.mkdir()
    for file in (models / kind).iterdir():
        if not file.name.startswith("tokenizer"):
            (broken / file.name).symlink_to(file)
    size = json.loads((models / kind / "config.json").read_text())["vocab_size"]
    train_tokenizer([f"words number {i} and {i**3}" for i in range(1000)], size + 50).save_pretrained(broken)
    told = f"--init .*{kind} cannot be trained further: the tokenizer has .* tokens and the model {size}"
    with pytest.raises(ValueError, match=told):
        begun(tmp_path, kind)
    with pytest.raises(ValueError, match=told):
        finetune_settings(broken, "infill", ["builtin:stories"], {"steps": 2})


def test_a_folder_without_a_model_is_told_when_it_is_loaded(tmp_path: Path) -> None:
    settings = resolve({"minutes": 1, "init": str(tmp_path), "model": {"d_model": 64}})
    assert settings.model["d_model"] == 64


@pytest.mark.parametrize("option", [{"method": "mlm"}, {"stage": 2}, {"vocab_size": 9}, {"pad_token_id": 1}], ids=str)
def test_what_a_run_decides_itself(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"model.{next(iter(option))} is no setting of a run: "):
        resolve({"minutes": 1, "model": option})
    assert resolve({"minutes": 1, "baseline": "mlm", "model": {"method": "mlm"}}).baseline == "mlm"
