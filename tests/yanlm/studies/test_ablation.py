"""The ablation at toy size: what is trained for it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.runs.settings import RunSettings
from yanlm.studies.ablation import ablation_study
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_ablation(
    toys: Path, whole: Whole, small: dict[str, Any], trainings: list[RunSettings], tmp_path: Path
) -> None:
    options = small | {"steps1": 2, "steps2": 2}
    given: dict[str, Any] = {"options": options, "only": ["K = 1", "mmd"], "steps": [1], "rows": 4}
    document = ablation_study(Study(tmp_path, "ablation"), [str(toys / "own.txt")], seeds=[0], **given)
    assert whole(document, tmp_path)
    trained = [(run.stage, run.model.get("num_experts", 4), run.seed) for run in trainings]
    assert trained == [("1", 4, 0), ("2", 4, 0), ("2", 1, 0), ("both", 4, 0)]
    found = document["summary"]["by_variant"]
    assert list(found) == ["base", "K = 1", "mmd = 0"]
    assert found["K = 1"]["experts"] == [1.0]
    assert found["base"]["training_steps"] == [2] and found["mmd = 0"]["training_steps"] == [2, 2]
    assert not (tmp_path / "run").exists()
    ablation_study(Study(tmp_path, "ablation"), [str(toys / "own.txt")], seeds=[0], **given)
    assert len(trainings) == 4
    with pytest.raises(ValueError, match="another options"):
        ablation_study(Study(tmp_path, "ablation"), [str(toys / "own.txt")], minutes=1.0, **given)
    with pytest.raises(ValueError, match=r"metric must be one of masked_accuracy, .*got 'colour'"):
        ablation_study(Study(tmp_path / "other", "ablation"), [str(toys / "own.txt")], metric="colour", **given)
    timed = ablation_study(Study(tmp_path, "ablation"), [str(toys / "own.txt")], seeds=[0], metric="nfe", **given)
    assert timed["summary"]["by_variant"]["base"] | {"experts": []} == {
        "one_pass": [], "by_steps": {"1": [1.0]}, "experts": [], "training_steps": [2],
    }  # fmt: skip
    assert len(trainings) == 4
    with pytest.raises(ValueError, match="leave out baseline"):
        ablation_study(Study(tmp_path / "other", "ablation"), [], options={"baseline": "gpt2"})
    with pytest.raises(ValueError, match="leave out denoiser='encoder'"):
        ablation_study(Study(tmp_path / "other", "ablation"), [], options={"model": {"denoiser": "encoder"}})
