"""The study of agreement at toy size: every kind of model, taken up again, and a user's mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.data.builtin.puzzles import puzzle
from yanlm.data.parallel_bench import parallel_bench_rows
from yanlm.studies.agreement import agreement_study
from yanlm.studies.tools import training
from yanlm.studies.tools.study import Study

SMALL = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "latent_dim": 8}
OPTIONS = {"eval_rows": 2, "model": SMALL, "recipe1": {"batch_size": 4}}
TASK = "codes:vocabulary=4,groups=1,train=100"


def study(folder: Path, **options: Any) -> Any:
    given = {"train_steps": 2, "rows": 6, "samples": 2, "options": OPTIONS, **options}
    return agreement_study(Study(folder, "agreement"), given.pop("task", TASK), **given)


def test_every_kind_is_trained_judged_and_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = ["one pass", "masked diffusion", "masked diffusion, margin", "autoregressive", "flow", "flow, re-noised"]
    document = study(tmp_path, only=only, steps=[1, 2, 16])
    written = json.loads((tmp_path / "agreement.json").read_text())
    assert document["files"]["agreement"] == str(tmp_path / "agreement.json") and document["summary"] == written
    assert written["task"] == "codes" and written["bound"] == 4**-3
    keys = {name: list(runs) for name, runs in written["methods"].items()}
    assert keys == {name: ["1", "2", "16"] for name in only} | {"one pass": ["1"], "autoregressive": ["4"]}
    assert written["methods"]["masked diffusion"]["16"]["nfe"] == 4, "the slots are full after as many turns"
    assert written["methods"]["flow"]["16"]["nfe"] == 16 and written["methods"]["flow, re-noised"]["2"]["nfe"] == 12
    assert list(written["training"]) == ["one pass", "masked diffusion", "autoregressive", "flow"]
    text = Path(document["files"]["page"]).read_text()
    assert "2 steps of training" in text and "parts of a text" in text and "(4 passes)" in text
    assert "(agreement-training.png)" in text and (tmp_path / "agreement-training.png").stat().st_size > 5000
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    more = study(tmp_path, only=["masked diffusion", "masked diffusion, confidence"], steps=[2, 3])
    methods = more["summary"]["methods"]
    assert methods["masked diffusion"]["2"] == written["methods"]["masked diffusion"]["2"]
    assert list(methods["masked diffusion, confidence"]) == ["2", "3"]


def test_seeds_are_trainings_of_their_own(tmp_path: Path) -> None:
    summary = study(tmp_path, only=["one pass"], seeds=[0, 1])["summary"]
    assert summary["training"]["one pass"]["steps"] == [[2], [2]]
    assert len(list((tmp_path / "models").iterdir())) == 2
    low, high = summary["ranges"]["one pass"]["1"]["valid"]
    assert low <= summary["methods"]["one pass"]["1"]["valid"] <= high


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    study(tmp_path, only=["one pass"])
    with pytest.raises(ValueError, match="another train_steps"):
        study(tmp_path, only=["one pass"], train_steps=3)
    changed = OPTIONS | {"model": SMALL | {"d_model": 32}}
    with pytest.raises(ValueError, match="another models one pass"):
        study(tmp_path, only=["one pass"], options=changed)
    with pytest.raises(ValueError, match="another task"):
        study(tmp_path, only=["one pass"], task="codes:vocabulary=5,groups=1,train=100")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["nobody"]}, "no method 'nobody'"),
        ({"samples": 1}, "samples"),
        ({"rows": 0}, "rows"),
        ({"minutes": 1.0}, "give minutes or train_steps, not both"),
        ({"train_steps": None, "minutes": -1.0}, "minutes"),
        ({"train_steps": 1}, "train_steps must be"),
        ({"steps": [0]}, "steps"),
        ({"task": "chess"}, "no such puzzle"),
        ({"task": "codes:keys=4"}, "'keys=4' is no setting"),
        ({"options": {"model": {"colour": 3}}}, "colour"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        study(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_student_begins_from_the_flow_of_its_seed(tmp_path: Path) -> None:
    summary = study(tmp_path, only=["flow, distilled", "flow, distilled, T = 2"], steps=[1, 2, 4])["summary"]
    assert {name: list(runs) for name, runs in summary["methods"].items()} == {
        "flow, distilled": ["1"],
        "flow, distilled, T = 2": ["2"],
    }
    assert {folder.name for folder in (tmp_path / "models").iterdir()} >= {"flow-seed-0", "flow-distilled-seed-0"}


def test_a_reflowed_flow_begins_from_the_flow_before_it_and_takes_any_number_of_steps(tmp_path: Path) -> None:
    summary = study(tmp_path, only=["flow, reflowed twice"], steps=[1, 2])["summary"]
    assert {name: list(runs) for name, runs in summary["methods"].items()} == {"flow, reflowed twice": ["1", "2"]}
    for name, teacher in (("flow-reflowed-twice", "flow-reflowed"), ("flow-reflowed", "flow")):
        settings = json.loads((tmp_path / "models" / f"{name}-seed-0" / "run.json").read_text())["settings"]
        assert settings["init"].endswith(f"/{teacher}-seed-0") and settings["denoising"]["reflow"] > 0


def test_rows_that_nobody_here_wrote(tmp_path: Path) -> None:
    lines = [{"input": {"puzzle": "1_3_\n341_\n2_4_\n4_2_"}}, {"input": {"puzzle": "____\n3412\n2143\n4321"}}]
    (tmp_path / "sudoku_n4.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = {"task": "sudoku:train=100", "only": ["flow"], "steps": [1], "test": tmp_path}
    document = study(tmp_path / "run", **given)
    assert document["settings"]["test"] == str(tmp_path)
    rows = parallel_bench_rows(tmp_path, puzzle("sudoku"))
    bound = puzzle("sudoku").bounds([row["source"] for row in rows])["valid"]
    assert document["summary"]["bound"] == bound != puzzle("sudoku").bound, "of the rows that are judged"
    assert "2 test rows" in Path(document["files"]["page"]).read_text()
    with pytest.raises(ValueError, match="ParallelBench has no such task"):
        study(tmp_path / "other", **given | {"task": TASK})
