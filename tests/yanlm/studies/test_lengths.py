"""The study of lengths at toy size: fresh and trained models, what does not fit, what is slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from yanlm.studies.lengths import lengths_study
from yanlm.studies.tools import timing
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_lengths_of_fresh_models(whole: Whole, tmp_path: Path, monkeypatch: Any) -> None:
    turns: list[str] = []
    once = timing._once
    monkeypatch.setattr(timing, "_once", lambda one, *rest: (turns.append(one.label), once(one, *rest))[1])
    given: dict[str, Any] = {"preset": "tiny", "methods": ["flow", "gpt2", "mdlm"], "repeats": 2, "mdlm_steps": [2, 0]}
    document = lengths_study(Study(tmp_path, "lengths"), [4, 6], **given)
    assert whole(document, tmp_path)
    assert any("points of the time grid" in note for note in document["notes"])
    found = document["summary"]
    assert found["reference"] == "flow, T = 3"
    assert list(found["by_model"]) == ["flow, T = 1", "flow, T = 3", "gpt2", "mdlm, T = 2", "mdlm, T = L"]
    assert all(len(run["seconds"]) == 2 for runs in found["by_model"].values() for run in runs.values())
    assert found["by_model"]["flow, T = 3"]["4"]["ratio"] == 1.0
    assert {label: runs["6"]["nfe"] for label, runs in found["by_model"].items()} == {
        "flow, T = 1": 1, "flow, T = 3": 3, "gpt2": 6, "mdlm, T = 2": 2, "mdlm, T = L": 6,
    }  # fmt: skip
    warm_up, first, second = turns[:5], turns[5:10], turns[10:15]
    assert warm_up == first != second and set(first) == set(second)  # interleaved, from another start
    before = len(turns)
    again = lengths_study(Study(tmp_path, "lengths"), [4, 6], **given)
    assert len(turns) == before and again["summary"] == found
    with pytest.raises(ValueError, match="was measured with another threads"):
        lengths_study(Study(tmp_path, "lengths"), [4, 6], threads=1, **given)


def test_lengths_leave_out_what_does_not_fit(toys: Path, tmp_path: Path) -> None:
    trained = [str(toys / "flow"), str(toys / "mlm")]
    document = lengths_study(Study(tmp_path, "lengths"), [8, 4000], models=trained, repeats=1, rate=0.5, clock="cpu")
    assert set(document["summary"]["by_model"]["flow, T = 3"]) == {"8"}
    assert document["summary"]["by_model"]["mlm"]["8"]["nfe"] == 1
    assert "flow is left out at 4000 tokens, which its context does not hold" in document["notes"]
    for change, message in (
        ({"models": [], "preset": None}, "--preset"),
        ({"rate": 0.0}, "rate"),
        ({"clock": "sun"}, "clock"),
        ({"repeats": 0}, "repeats"),
    ):
        with pytest.raises(ValueError, match=message):
            lengths_study(Study(tmp_path / "other", "lengths"), [8], **({"models": trained} | change))  # type: ignore[arg-type]


def test_what_is_slow_is_timed_once(toys: Path, tmp_path: Path) -> None:
    document = lengths_study(Study(tmp_path, "lengths"), [8], models=[str(toys / "flow")], repeats=3, slow=1e-9)
    assert all(len(runs["8"]["seconds"]) == 1 for runs in document["summary"]["by_model"].values())
    assert any("timed once" in note for note in document["notes"])


def test_nothing_touches_the_global_generator(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    lengths_study(Study(tmp_path, "lengths"), [4], preset="tiny", methods=["flow"], repeats=1)
    assert torch.equal(state, torch.get_rng_state())
