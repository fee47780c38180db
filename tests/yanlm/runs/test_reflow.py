"""A training that learns from its teacher's words goes on after an interruption as if there had been none."""

from pathlib import Path
from typing import Any

import pytest
import torch

from yanlm.modeling.io import load_model
from yanlm.runs.listener import Listener
from yanlm.runs.run import train
from yanlm.runs.settings import resolve

OPTIONS: dict[str, Any] = {"data": "builtin:codes:train=12", "tokenizer": "words:64", "steps1": 6, "eval_rows": 2}
MODEL = {"model": {"denoiser": "encoder", "d_model": 16, "num_heads": 2}, "recipe1": {"batch_size": 4}}
REFLOW = {"reflow": 0.75, "teacher_steps": 2, "pairs": 2, "reveal": 0.5, "plain": 0.0, "length": 0.0}


class Breaks(Listener):
    """Fails behind the first checkpoint."""

    def log(self, stage: int, record: dict[str, Any]) -> None:
        if record["step"] == 4:
            raise RuntimeError("power is off")


def test_it_goes_on_exactly(tmp_path: Path) -> None:
    train(resolve(OPTIONS | MODEL), tmp_path / "teacher", device="cpu")
    settings = (
        OPTIONS | MODEL | {"init": str(tmp_path / "teacher"), "denoising": REFLOW, "save_every": 3, "log_every": 1}
    )
    train(resolve(settings), tmp_path / "whole", device="cpu")
    with pytest.raises(RuntimeError, match="power"):
        train(resolve(settings), tmp_path / "broken", device="cpu", listener=Breaks())
    train(resolve(settings), tmp_path / "broken", device="cpu", resume=True)
    whole, broken = (load_model(tmp_path / name).state_dict() for name in ("whole", "broken"))
    taught = load_model(tmp_path / "teacher").state_dict()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert any(not torch.equal(whole[name], taught[name]) for name in whole)
