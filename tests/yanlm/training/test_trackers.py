"""Trackers of accelerate get what the log gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate import tracking

from yanlm.runs.settings import resolve
from yanlm.training.log import RunLog
from yanlm.training.trackers import PACKAGES, check_trackers, started

RECORD = {"step": 4, "loss": 2.0, "lr": None, "parts": {"ce": 1.5}}


class Own(tracking.GeneralTracker):
    """Keeps what it is told."""

    name = "trackio"
    requires_logging_directory = False
    told: list[Any] = []  # noqa: RUF012 - of all of them

    def __init__(self, run_name: str, **options: Any) -> None:
        super().__init__()
        self.told.append((run_name, options))

    def start(self) -> None:
        self.told.append("start")

    @property
    def tracker(self) -> None:
        return None

    def store_init_configuration(self, values: Any) -> None:
        pass

    def log(self, values: Any, step: int | None = None, **more: Any) -> None:
        self.told.append((values, step))

    def finish(self) -> None:
        self.told.append("finish")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    Own.told.clear()
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "trackio", Own)
    monkeypatch.setitem(PACKAGES, "trackio", "json")  # a module that is there
    return Own.told


def test_a_tracker_is_told_every_line(own: list[Any], tmp_path: Path) -> None:
    check_trackers(["trackio"])
    log = RunLog(tmp_path, ["trackio"])
    log.open(0, [])
    log.write(RECORD)
    log.close()
    assert own == [("yanlm", {}), "start", ({"loss": 2.0, "parts/ce": 1.5}, 4), "finish"]


def test_none_and_those_that_are_missing_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(["none"], tmp_path, 0) == []
    monkeypatch.setitem(PACKAGES, "tensorboard", "no_such_module")
    check_trackers(["tensorboard"])
    assert started(["tensorboard"], tmp_path, 0) == []


def test_names_are_checked_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "wandb", "no_such_module")
    with pytest.raises(ValueError, match="log_with wandb needs its package: pip install"):
        resolve({"minutes": 1, "log_with": ["wandb"]})
    with pytest.raises(ValueError, match="log_with must be among"):
        resolve({"minutes": 1, "log_with": ["paper"]})
    assert resolve({"minutes": 1, "log_with": ["none"]}).for_stage(1).log_with == ("none",)
    assert set(PACKAGES) == set(tracking.LOGGER_TYPE_TO_CLASS)
