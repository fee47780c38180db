"""The study of agreement at toy size: every kind of model, resumed, and a user's mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.data import sources
from yanlm.data.builtin.statements import judge
from yanlm.studies import agreement
from yanlm.studies.tools import training
from yanlm.studies.tools.study import Study

SMALL = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0]}
OPTIONS = {"steps": 2, "model": SMALL, "recipe1": {"batch_size": 4}, "recipe2": {"batch_size": 4}}
KINDS = ["one pass", "autoregressive", "K = 1", "a text, mixture CE, trunk", "a text, mixture CE, source"]


def test_every_kind_is_trained_judged_and_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROOMS", {"train": 300, "validation": 20, "test": 20})
    given: dict[str, Any] = {"seeds": [0], "only": KINDS, "steps": [1, 2], "worlds": 6, "samples": 3}
    given["options"] = OPTIONS
    document = agreement.agreement_study(Study(tmp_path, "agreement"), **given)
    found = document["summary"]["by_model"]
    assert set(found) == set(KINDS)
    assert set(found["one pass"]) == {"1", "2", "most probable"}
    assert set(found["K = 1"]) == {"1", "2", "reread 2", "reread, drawn 2"}
    assert set(found["autoregressive"]) == {"token by token", "most probable"}
    assert all(0 <= value <= 1 for runs in found.values() for one in runs.values() for v in one.values() for value in v)
    assert document["summary"]["data"]["valid"] == 1.0
    text = Path(document["files"]["page"]).read_text()
    assert "2 + 2 steps" in text and "| the data | 1.000 |" in text and "| K = 1, reread, drawn |" in text
    assert Path(document["files"]["figure"]).stat().st_size > 5000
    assert json.loads((tmp_path / "results.json").read_text())["pieces"]["K = 1, seed 0"]
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    again = agreement.agreement_study(Study(tmp_path, "agreement"), **given)
    assert again["summary"] == document["summary"]


def test_the_truth_is_judged_true() -> None:
    texts = agreement._true_texts(20, 4)
    assert judge(texts)["valid"] == 1.0 and all(len(world) == 4 for world in texts)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"only": ["nobody"]}, "no model 'nobody'"), ({"samples": 1}, "samples"), ({"worlds": 0}, "worlds")],
)
def test_mistakes_are_named(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        agreement.agreement_study(Study(tmp_path, "agreement"), **options)
