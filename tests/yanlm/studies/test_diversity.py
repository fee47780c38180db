"""The study of diversity at toy size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.studies.diversity import diversity_study
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_diversity(toys: Path, whole: Whole, tmp_path: Path) -> None:
    given: dict[str, Any] = {"models": [str(toys / "flow"), str(toys / "gpt2")], "data": [str(toys / "own.txt")]}
    given |= {"rows": 4, "steps": [1], "z0_scales": [0.5, 2.0], "routings": ["argmax"], "temperatures": [1.0]}
    document = diversity_study(Study(tmp_path, "diversity"), samples=2, **given)
    assert whole(document, tmp_path)
    points = document["summary"]["points"]
    assert [(p["model"], p["steps"], p.get("z0_scale")) for p in points] == [
        ("flow", 1, 0.5), ("flow", 1, 2.0), ("gpt2", None, None),
    ]  # fmt: skip
    assert all({"masked_accuracy", "distinct_2", "self_bleu"} <= set(point) for point in points)
    assert any("SemDist" in note for note in document["notes"])
    twice = given | {name: given[name] * 2 for name in ("z0_scales", "routings", "temperatures")}
    assert diversity_study(Study(tmp_path, "diversity"), samples=2, **twice)["summary"] == document["summary"]
    for change, message in (({"routings": ["best"]}, "routing"), ({"z0_scales": [0.0]}, "z0_scale")):
        with pytest.raises(ValueError, match=message):
            diversity_study(Study(tmp_path / "other", "diversity"), samples=2, **(given | change))
    with pytest.raises(ValueError, match="samples"):
        diversity_study(Study(tmp_path / "other", "diversity"), samples=1, **given)
