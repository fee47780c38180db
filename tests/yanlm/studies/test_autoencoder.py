"""The study of the autoencoder at toy size: which terms are on, one training for each, and what they change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.autoencoder import autoencoder_study, changes, variants_by_group
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_autoencoder(
    toys: Path, whole: Whole, small: dict[str, Any], trainings: list[RunSettings], tmp_path: Path
) -> None:
    given: dict[str, Any] = {"data": [str(toys / "own.txt")], "options": small, "only": ["alone"], "rows": 9}
    document = autoencoder_study(Study(tmp_path, "autoencoder"), steps=1, seeds=[0], tokens=60, **given)
    assert whole(document, tmp_path) and not (tmp_path / "run").exists()
    assert [(run.stage1.mmd, run.stage1.scale > 0, run.stage1.noise > 0) for run in trainings] == [
        (0.0, False, False), (0.0, True, False), (0.0, False, True),
    ]  # fmt: skip
    assert list(document["summary"]) == ["CE", "CE + scale", "CE + noise"]
    page = Path(document["files"]["page"]).read_text()
    assert "## alone" in page and "| | CE | CE + scale | CE + noise | N(0, I) |" in page
    assert "| masked tokens, one pass |" in page and "→" not in page, "one seed has no spread"
    autoencoder_study(Study(tmp_path, "autoencoder"), steps=1, seeds=[0], tokens=60, **given)
    assert len(trainings) == 3
    with pytest.raises(ValueError, match="another options steps1"):
        autoencoder_study(Study(tmp_path, "autoencoder"), steps=2, seeds=[0], tokens=60, **given)


def test_groups_share_cross_entropy_alone() -> None:
    groups = variants_by_group(resolve({"stage1": {"mmd": 0.5}}))
    assert list(groups) == ["paper", "wide", "alone"]
    assert groups["paper"]["CE"] == groups["wide"]["CE"] == {"mmd": 0.0, "scale": 0.0, "noise": 0.0}
    assert list(groups["paper"]) == ["CE", "CE + MMD", "CE + MMD + scale", "CE + MMD + scale + noise"]
    assert groups["paper"]["CE + MMD"]["mmd"] == 0.5
    for terms in (*groups["paper"].values(), *groups["wide"].values()):
        resolve({"stage1": terms})
    assert set(groups["wide"]) & set(groups["paper"]) == {"CE"}


def test_changes_are_those_beyond_the_spread() -> None:
    groups = {"paper": {"CE": {}, "CE + MMD": {}}}

    def numbers(cosine: float) -> dict[str, Any]:
        names = ("first_two", "participation", "offset", "mean_square", "mmd2", "mmd2_wide", "token_variance")
        return dict.fromkeys(names, 0.5) | {"cosine": cosine}

    apart = {"CE": [numbers(0.1), numbers(0.3)], "CE + MMD": [numbers(0.4), numbers(0.6)]}
    assert changes(groups, apart) == ["CE → CE + MMD: cosine of two latents 0.200 → 0.500"]
    overlapping = apart | {"CE + MMD": [numbers(0.2), numbers(0.6)]}
    assert changes(groups, overlapping) == ["CE → CE + MMD: nothing beyond the spread over seeds"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"only": ["colour"]}, "only must be one of"),
        ({"options": {"stage1": {"noise": 0.0}}}, "stage1.noise is off"),
        ({"steps": 0}, "steps must be"),
        ({"rows": 0}, "rows must be"),
        ({"tokens": 10}, "tokens must be an integer of at least 50"),
        ({"options": {"model": {"denoiser": "encoder"}}}, "leave out denoiser='encoder'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        autoencoder_study(Study(tmp_path, "autoencoder"), **{"data": ["builtin:rooms"]} | change)
    assert not list(tmp_path.iterdir())
