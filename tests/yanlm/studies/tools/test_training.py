"""Trainings of a study: into an empty folder, and a stage 1 that is trained once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yanlm.data.corpus import load_corpus
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.training import MARK, QUIET, shared_stage1, train_anew


def test_what_a_study_left_is_trained_anew(toys: Path, small: dict[str, Any], tmp_path: Path) -> None:
    data = str(toys / "own.txt")
    settings = resolve({**small, **QUIET, "data": [data], "stage": "1", "steps1": 1, "eval_rows": 2})
    folder = tmp_path / "run"
    (folder / "stage1").mkdir(parents=True)
    (folder / "stage1" / "old").touch()
    for call in (train_anew, lambda settings, folder: shared_stage1(folder, {})):
        with pytest.raises(ValueError, match=r"was there before this study, .*; choose another --out"):
            call(settings, folder)
    assert (folder / "stage1" / "old").is_file()
    (folder / MARK).touch()
    record = train_anew(settings, folder, corpus=load_corpus(data))
    assert record["stages"]["1"]["steps"] == 1 and (folder / "stage1" / "model.safetensors").is_file()
    assert not (folder / "stage1" / "old").exists() and not list((folder / "stage1").glob("checkpoints/*"))


def test_a_shared_stage_1_is_trained_once(
    toys: Path, small: dict[str, Any], trainings: list[RunSettings], tmp_path: Path
) -> None:
    options = {**small, "data": [str(toys / "own.txt")], "steps1": 1, "steps2": None, "eval_rows": 2}
    for _ in range(2):
        assert shared_stage1(tmp_path / "shared", options) == tmp_path / "shared"
    assert [settings.stage for settings in trainings] == ["1"]
