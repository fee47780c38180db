"""What a run writes about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yanlm.runs.record import read_record, samples_text, saved_settings


def test_samples_are_readable() -> None:
    text = samples_text({"examples": [{"source": "a <mask>", "filled": "a b", "truth": "a c"}]})
    assert text == "source  a <mask>\nfilled  a b\ntruth   a c\n"


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ([], "it is not a table"),
        ({}, "it has no 'settings'"),
        ({"settings": {}, "tokenizer": None}, "tokenizer is None"),
        ({"settings": {}, "seconds": "x"}, "seconds is 'x'"),
        ({"settings": {}, "changed": 1}, "changed is 1"),
        ({"settings": {}, "stages": [1]}, r"stages is \[1\]"),
        ({"settings": {}, "stages": {"1": None}}, "stages.1 is None"),
        ({"settings": {}, "stages": {"1": {"steps": 3}}}, "stages.1.seconds is None"),
    ],
)
def test_a_record_that_no_run_wrote(tmp_path: Path, record: Any, fault: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record))
    if record == {}:
        assert saved_settings(tmp_path) == {}
    for read in (read_record, saved_settings) if record != {} else (read_record,):
        with pytest.raises(ValueError, match=f"run.json cannot be used: {fault}"):
            read(tmp_path)


def test_settings_of_a_model(tmp_path: Path) -> None:
    assert saved_settings(tmp_path) == {}
    for settings in ({"preset": "small"}, {"preset": "huge"}, {"preset": []}, {"stage1": 1}):
        (tmp_path / "run.json").write_text(json.dumps({"settings": settings}))
        if settings == {"preset": "small"}:
            assert saved_settings(tmp_path) == settings
            continue
        [(name, value)] = settings.items()
        with pytest.raises(ValueError) as caught:
            saved_settings(tmp_path)
        assert str(caught.value).endswith(f"run.json cannot be used: settings.{name} is {value!r}")
