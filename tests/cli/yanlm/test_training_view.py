"""How yanlm train looks while it runs: lines, and what it says when it stops early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch.nn import Linear

from moefm_cli.common import Failure, UsageError
from moefm_cli.yanlm.training_view import TrainingView, describe, duration, watched
from yanlm.runs.settings import resolve
from yanlm.training.checkpoints import CheckpointError
from yanlm.training.loop import DivergedError

MASK = {"before": "The cat", "written": " sad", "truth": " sat", "after": " on the mat."}


def test_seconds_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (None, 0, 59.6, 61, 3600, 7322)] == [
        "",
        "0:00",
        "1:00",
        "1:01",
        "1 h 00 min",
        "2 h 02 min",
    ]


def test_a_record_is_one_line() -> None:
    record = {"loss": 1.23456, "parts": {"ce": 1.0, "mmd": 0.001}, "tokens_per_second": 12345.6}
    assert describe(record) == "loss 1.235  (ce 1  mmd 0.001)  12,346 tokens/s"
    assert describe(record, "1:05 left").endswith("tokens/s  1:05 left")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["stage 1: autoencoder", "stage 2: flow"]),
        ({"baseline": "mdlm"}, ["baseline: mdlm"]),
        ({"model": {"denoiser": "encoder"}}, ["flow, denoised by its encoder"]),
    ],
)
def test_a_stage_is_named(capsys: pytest.CaptureFixture[str], options: dict[str, Any], names: list[str]) -> None:
    settings, model = resolve(options | {"minutes": 1}), Linear(3, 4)
    with TrainingView() as view:
        for stage in settings.stages:
            view.stage(stage, model, settings)  # type: ignore[arg-type]
    text = capsys.readouterr().err
    assert all(f"{name}  0.0M parameters" in text for name in names)


def test_notes_scores_and_texts_are_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingView() as view:
        assert view.live is None
        view.note("one [bold]thing[/]")
        view.check(3, "f1", 0.5)
        view.sample(2, 3, {"masks": [MASK, MASK | {"written": " sat"}]})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "note: one [bold]thing[/]" and lines[1] == "validation, step 3: f1 0.500"
    assert [line.strip() for line in lines[2:]] == [
        "The cat [sad] on the mat.   right: sat",
        "The cat [sat] on the mat.",
    ]


def record_of(step: int, seconds: float, eta: float | None) -> dict[str, Any]:
    parts = {"ce": 1.0, "slot_ce": 2.0}
    return {"step": step, "seconds": seconds, "eta": eta, "loss": 3.0, "parts": parts, "tokens_per_second": 9.0}


def test_the_parts_of_a_loss_are_explained_once_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingView() as view:
        for stage in (1, 2):
            view.stage(stage, Linear(3, 4), resolve({"minutes": 1}))  # type: ignore[arg-type]
            for step in (1, 10, 20):
                view.log(stage, record_of(step, step, 60.0))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("parts of the loss: ")]
    assert len(lines) == 2 and "slot_ce, the same of masked words" in lines[0]


@pytest.mark.parametrize(
    ("options", "stage", "left"),
    [
        ({"minutes": 10}, 1, "11:30 left"),  # 3 + 1 of evaluation + 6 + 1.5
        ({"minutes": 10}, 2, "6:30 left"),  # of 6: 5 + 1.5
        ({"minutes": 10, "eval_rows": 20}, 1, "9:45 left"),  # 3, 6, and 20 rows at 6 times 3 s / 8
        ({"minutes": 10, "eval_rows": 20}, 2, "5:45 left"),
        ({"steps1": 80, "steps2": 100}, 1, "10:15 left"),  # 3 + 1, and 5 + 1.25 at 3 s a step
    ],
)
def test_the_time_left_is_that_of_the_whole_run(
    capsys: pytest.CaptureFixture[str], options: dict[str, Any], stage: int, left: str
) -> None:
    with TrainingView() as view:
        view.planned(options.get("eval_rows"))
        view.stage(stage, Linear(3, 4), resolve(options))  # type: ignore[arg-type]
        view.log(stage, record_of(20, 60.0, 180.0 if stage == 1 else 300.0))
    assert capsys.readouterr().err.rstrip().endswith(f"tokens/s  {left}")


def test_stopping_says_how_to_go_on_once_there_is_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for written, words in ((None, "nothing was trained yet"), ("run.json", "go on with: yanlm train --resume ")):
        if written:
            (tmp_path / written).touch()
        with pytest.raises(KeyboardInterrupt), watched("yanlm train --resume", tmp_path):
            raise KeyboardInterrupt
        assert words in capsys.readouterr().err


def test_failures_are_those_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint"), watched("yanlm train --resume", tmp_path):
        raise CheckpointError("no checkpoint loads")
    with pytest.raises(Failure, match=r"yanlm train --resume .* --lr RATE"), watched("yanlm train --resume", tmp_path):
        raise DivergedError("the loss is NaN")


def test_an_evaluation_says_how_much_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([100.0, 120.0, 130.0, 160.0])
    monkeypatch.setattr("moefm_cli.yanlm.training_view.time.monotonic", lambda: next(times))
    with TrainingView() as view:
        for done, total in ((100, 1000), (300, 1000), (500, 1000), (20, 40)):
            view.evaluated(done, total)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "evaluation: 100 of 1,000 rows",
        "evaluation: 300 of 1,000 rows  1:10 left",
        "evaluation: 20 of 40 rows",
    ]
