"""The table at toy size: what is trained for it, goes on, and is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.runs.settings import RunSettings
from yanlm.studies.table import table_study
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]

FLOW_ALONE = ["flow, one pass", "flow, reread, T = 6", "flow, one pass, reread, T = 6"]


def test_table(toys: Path, whole: Whole, small: dict[str, Any], trainings: list[RunSettings], tmp_path: Path) -> None:
    small = small | {"steps": 2, "stage1": {"known": 0.5}}  # an objective of the flow, which mlm and gpt2 have not
    small |= {"methods": {"mlm": {"model": {"encoder_layers": 9}}}}
    given: dict[str, Any] = {"sets": [f"infill={toys / 'own.txt'}", f"completion={toys / 'own.txt'}"], "seeds": [0]}
    given |= {"methods": ["flow", "mlm"], "text": [str(toys / "own.txt")], "steps": [6], "rows": 4}
    given["options"] = small | {"finetune": {"check_rows": 4, "recipe": {"batch_size": 2}}}
    document = table_study(Study(tmp_path, "table"), **given)
    assert whole(document, tmp_path)
    begun = [run.task for run in trainings]
    assert begun == [None, "infill", None, "infill", "completion", "completion"]  # each method begins once
    infill, completion = document["summary"].values()
    assert list(infill["columns"]) == ["flow, T = 1", "flow, T = 6", *FLOW_ALONE, "mlm"]
    sizes = [piece["parameters"] for piece in document["pieces"].values()]
    assert sizes[1] > sizes[0], "mlm has layers of its own"
    assert infill["metric"] == "masked_accuracy" and completion["metric"] == "exact_match"
    assert set(infill["guesses"]) == {"copy_source", "unigram"} and infill["n"] == 4
    text = Path(document["files"]["page"]).read_text()
    assert "| infill, own.txt |" in text and "steps of fine-tuning" in text
    assert "## The paper's metrics" in text and "| infill, own.txt | R-1/R-L/TPS |" in text
    assert "| completion, own.txt | EM/BS-F1 |" in text and "points of the time grid" in text
    assert any("BERTScore, is left out" in note for note in document["notes"])
    infilled = document["pieces"][f"infill={toys / 'own.txt'}, flow, seed 0"]
    assert set(infilled["one_by_one"]) == {"1", "6"} and all(speed > 0 for speed in infilled["one_by_one"].values())
    more = table_study(Study(tmp_path, "table"), **(given | {"methods": ["flow", "mlm", "gpt2"]}))
    assert more["pieces"].items() > document["pieces"].items() and len(trainings) == 9
    twice = table_study(Study(tmp_path, "table"), **(given | {name: given[name] * 2 for name in ("sets", "methods")}))
    assert twice["summary"] == document["summary"], "what is named twice is no second seed"
    for change, message in (
        ({"sets": []}, "no set named"),
        ({"sets": ["infill"]}, "TASK=SPEC"),
        ({"sets": ["colour=own.txt"]}, "task must be one of"),
        ({"methods": ["magic"]}, "methods must be among"),
        ({"options": {"methods": {"magic": {}}}}, "methods in the config must be among"),
        ({"first": 0.0}, "first must be"),
        ({"rows": 0}, "rows must be"),
        ({"encoder": "auto"}, "--encoder auto needs the package"),
        ({"rows": 5}, "another rows"),
    ):
        with pytest.raises(ValueError, match=message):
            table_study(Study(tmp_path, "table"), **(given | change))


def test_a_flow_whose_encoder_denoises_takes_one_stage(
    toys: Path, whole: Whole, small: dict[str, Any], trainings: list[RunSettings], tmp_path: Path
) -> None:
    options = small | {"steps": 2, "denoising": {"plain": 0.5}, "finetune": {"check_rows": 4}}
    options["model"] = small["model"] | {"denoiser": "encoder", "num_experts": 2}
    del options["recipe2"]
    given: dict[str, Any] = {"sets": [f"infill={toys / 'own.txt'}"], "seeds": [0], "steps": [2], "rows": 4}
    document = table_study(Study(tmp_path, "table"), methods=["flow", "mlm"], options=options, **given)
    assert whole(document, tmp_path)
    assert [(run.stages, run.denoises, run.denoising.plain) for run in trainings] == [
        ((1,), True, 0.5), ((1,), True, 0.5), ((1,), False, 0.25), ((1,), False, 0.25),
    ]  # fmt: skip
    [infill] = document["summary"].values()
    assert {"flow, T = 2", "flow, one pass", "flow, reread, T = 2"} <= set(infill["columns"])
