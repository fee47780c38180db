"""The study of steps at toy size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.studies.steps import steps_study
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_steps(toys: Path, whole: Whole, tmp_path: Path) -> None:
    given: dict[str, Any] = {"models": [str(toys / m) for m in ("flow", "gpt2", "mdlm", "mlm")], "rows": 4}
    given |= {"data": [str(toys / "own.txt")], "task": "infill", "seeds": (0, 1)}
    document = steps_study(Study(tmp_path, "steps"), steps=[1], **given)
    assert whole(document, tmp_path) and any("points of the time grid" in note for note in document["notes"])
    found = document["summary"]
    assert {label: list(runs) for label, runs in found["by_model"].items()} == {
        "flow": ["1"],
        "mdlm": ["1"],
        "flow, reread": ["1"],
    }
    assert found["by_model"]["flow, reread"] == found["by_model"]["flow"], "one step is the same"
    assert set(found["flat"]) == {"flow, one pass", "gpt2", "mlm", "best guess: unigram"}
    assert len(found["by_model"]["flow"]["1"]) == 2 and len(found["by_model"]["mdlm"]["1"]) == 1
    more = steps_study(Study(tmp_path, "steps"), steps=[1, 2], **given)
    assert more["pieces"].items() > document["pieces"].items()
    assert set(more["pieces"]) - set(document["pieces"]) == {
        f"flow, {how}seed {s}, T = 2" for s in (0, 1) for how in ("", "reread True, ")
    } | {"mdlm, seed 0, T = 2"}
    named = given | {"models": [f"$x_$={toys / 'flow'}", f"_own={toys / 'mdlm'}"]}
    odd = steps_study(Study(tmp_path / "odd", "steps"), steps=[1], **named)
    assert whole(odd, tmp_path / "odd") and list(odd["summary"]["by_model"]) == ["$x_$", "_own", "$x_$, reread"]
    three = steps_study(Study(tmp_path / "three", "steps"), steps=[1], **given | {"models": [str(toys / "encoder")]})
    runs = three["summary"]["by_model"]
    assert {label: len(run["1"]) for label, run in runs.items()} == {
        "encoder": 2,
        "encoder, reread": 2,
        "encoder, diffusion": 1,
    }
    assert runs["encoder, diffusion"]["1"] == three["summary"]["flat"]["encoder, one pass"], "in one pass they are one"
    other = given | {"data": [str(tmp_path / "own.txt")], "models": [str(toys / "mlm")]}
    (tmp_path / "own.txt").write_text("".join(f"the cat {i} sat .\n" for i in range(9)))
    steps_study(Study(tmp_path / "changed", "steps"), steps=[1], **other)
    (tmp_path / "own.txt").write_text("".join(f"the dog {i} ran .\n" for i in range(9)))
    with pytest.raises(ValueError, match="was measured with other data; choose another --out"):
        steps_study(Study(tmp_path / "changed", "steps"), steps=[1], **other)
    with pytest.raises(ValueError, match="metric must be one of"):
        steps_study(Study(tmp_path / "other", "steps"), steps=[1], metric="colour", **given)
    assert not (tmp_path / "other").exists(), "it is noticed before anything is measured"


def test_another_score_of_the_same_pieces(toys: Path, whole: Whole, tmp_path: Path) -> None:
    given: dict[str, Any] = {"models": [str(toys / "flow")], "data": [str(toys / "own.txt")], "task": "infill"}
    given |= {"rows": 2, "steps": [1]}
    before = steps_study(Study(tmp_path, "steps"), **given)
    again = steps_study(Study(tmp_path, "steps"), metric="tokens_per_second", **given)  # a pass alone has none
    assert again["pieces"] == before["pieces"] and whole(again, tmp_path)
    assert not again["summary"]["flat"] and again["summary"]["metric"] == "tokens_per_second"


def test_predicted_lengths_have_a_score_of_their_own(toys: Path, whole: Whole, tmp_path: Path) -> None:
    models, data = [str(toys / "flow")], [str(toys / "own.txt")]
    document = steps_study(Study(tmp_path, "steps"), models, data, "infill", [1], rows=2, length="predicted")
    assert whole(document, tmp_path) and document["summary"]["metric"] == "span_exact"
