"""The study of whole trainings at toy size: variants, what the page says, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.language import VARIANTS, change_of, language_study, summary_of
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_language(
    toys: Path, whole: Whole, small: dict[str, Any], trainings: list[RunSettings], tmp_path: Path
) -> None:
    given: dict[str, Any] = {"data": [str(toys / "own.txt")], "options": small | {"steps1": 1, "steps2": 1}}
    given |= {"only": ["flow", "direct encoder"], "rows": 4, "seeds": [0]}
    document = language_study(Study(tmp_path, "language"), **given)
    assert whole(document, tmp_path) and not (tmp_path / "run").exists()
    assert [(run.stage, run.model["encoder_layers"]) for run in trainings] == [("both", 2), ("1", 4)]
    scores = document["summary"]["masked_accuracy"]
    assert list(scores) == ["flow", "direct encoder", "copy source", "unigram"]
    assert list(scores["flow"]) == ["one pass, stage 1", "one pass", "T = 1", "T = 2", "T = 3", "T = 8"]
    assert list(scores["direct encoder"]) == ["one pass"] and scores["copy source"] == {"one pass": [0.0]}
    page = Path(document["files"]["page"]).read_text()
    assert "## ROUGE-1" in page and "| direct encoder | | 1 |" in page and "4 held-out rows" in page
    again = language_study(Study(tmp_path, "language"), **given | {"metric": "rougeL"})
    assert list(again["summary"]) == ["rougeL"] and len(trainings) == 2


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("length", [{"minutes": 1.0}, {"steps1": 2, "steps2": 3}])
def test_every_variant_is_a_training(name: str, length: dict[str, Any]) -> None:
    base = resolve(length)
    changed = resolve(length | change_of(name, base))
    assert (changed.stages == (1,)) == (name == "direct encoder")


def test_a_score_that_a_report_lacks_leaves_its_place_empty() -> None:
    pass_ = {"masked_accuracy": 0.5, "exact_match": 0.25}
    report = {"one_pass": pass_, "by_steps": {"1": {"masked_accuracy": 0.5}}, "baselines": {"majority": {"f1": 0.1}}}
    assert summary_of({"flow": [report]}, "exact_match") == {"flow": {"one pass": [0.25]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"only": ["colour"]}, "no variant 'colour'"),
        ({"metric": "colour"}, "metric must be one of"),
        ({"options": {"stage": "1"}}, "leave out baseline"),
        ({"minutes": 0}, "minutes"),
        ({"rows": -1}, "rows must be"),
        ({"options": {"model": {"denoiser": "encoder"}}, "only": ["direct encoder"]}, "no variant 'direct encoder'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"data": ["builtin:rooms"], "minutes": 1.0}
    with pytest.raises(ValueError, match=message):
        language_study(Study(tmp_path, "language"), **given | change)
    assert not list(tmp_path.iterdir())
