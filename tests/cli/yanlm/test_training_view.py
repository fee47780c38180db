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
    assert describe({**record, "eta": 65.0}).endswith("tokens/s  1:05 left")


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
    assert ("denoise, of rows with noise" in text) == settings.denoises


def test_notes_scores_and_texts_are_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingView() as view:
        assert view.live is None
        view.note("one [bold]thing[/]")
        view.check(3, "f1", 0.5)
        view.sample(2, 3, {"source": "a  <mask>\n", "filled": "word " * 100})
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:3] == ["validation, step 3: f1 0.500", "  masked  a <mask>"]
    assert lines[0].startswith("note: one") and lines[3].endswith("…") and len(lines) == 4


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
