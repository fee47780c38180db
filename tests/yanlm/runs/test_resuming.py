"""What a run may change when it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yanlm.runs.resuming import CHANGEABLE, lasting, resumed, with_changes, with_data
from yanlm.runs.settings import resolve

STEPS = {"steps1": 4, "steps2": 6}


def test_the_rate_is_of_both_stages() -> None:
    settings = resumed(resolve(STEPS), {"lr": 0.5, "save_every": 7, "log_every": 3})
    assert [settings.for_stage(stage).lr for stage in (1, 2)] == [0.5, 0.5]
    assert (settings.save_every, settings.log_every, settings.steps1) == (7, 3, 4)


def test_minutes_and_steps_replace_one_another() -> None:
    timed = resumed(resolve(STEPS), {"minutes": 3})
    assert (timed.minutes, timed.steps1, timed.steps2) == (3, None, None)
    counted = resumed(timed, {"steps1": 5, "steps2": 5})
    assert (counted.minutes, counted.steps1) == (None, 5)
    assert resumed(resolve(STEPS), {"steps2": 60}).steps1 == 4
    with pytest.raises(ValueError, match="not both"):
        resumed(timed, {"minutes": 1, "steps1": 2, "steps2": 3})
    with pytest.raises(ValueError, match="--steps1 must be given"):
        resumed(timed, {"steps2": 3})


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 1}, "seed cannot be changed"),
    "batch": ({"batch_size": 4, "lr": 1.0}, "batch_size cannot be changed"),
    "rate": ({"lr": -1.0}, "recipe1: lr must"),
    "text": ({"lr": "slow"}, r"recipe1\.lr must be a number"),
    "interval": ({"save_every": 0}, "save_every must"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_rest_is_refused_by_name(name: str) -> None:
    changes, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        resumed(resolve(STEPS), changes)


def test_changes_are_remembered_one_after_another() -> None:
    first = resolve(STEPS)
    record: dict[str, Any] = {"settings": lasting(first).to_dict(), "stages": {}}
    assert with_changes(record, first, "a") is record
    second = resumed(first, {"lr": 0.5})
    record = with_changes(record, second, "b")
    record = with_changes(record, resumed(second, {"minutes": 2}), "c")
    assert [entry["command"] for entry in record["changed"]] == ["b", "c"]
    assert record["changed"][0]["settings"] == {f"recipe{stage}.lr": {"from": 0.0015, "to": 0.5} for stage in (1, 2)}
    assert record["settings"]["minutes"] == 2 and record["stages"] == {}
    assert set(CHANGEABLE) == {"lr", "minutes", "steps1", "steps2", "save_every", "log_every", "eval_rows"}


def test_paths_last_and_other_specs_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "odd@0.5", "b@c.txt"):
        Path(name).write_text("x")
    Path("model").mkdir()
    data = ["a.txt", "a.txt@0.75", "odd@0.5", "b@c.txt@2", "builtin:rooms@1", "hf:some/set", "paper", "missing.txt"]
    settings = lasting(resolve({**STEPS, "data": data, "init": "model", "tokenizer": "bpe:300"}))
    here = str(tmp_path)
    assert list(settings.data) == [
        f"{here}/a.txt",
        f"{here}/a.txt@0.75",
        f"{here}/odd@0.5",
        f"{here}/b@c.txt@2",
        "builtin:rooms@1",
        "hf:some/set",
        "paper",
        "missing.txt",
    ]
    assert (settings.init, settings.tokenizer) == (f"{here}/model", "bpe:300")
    monkeypatch.chdir("/")
    assert lasting(settings) == settings


def test_the_data_stay_the_same() -> None:
    record, data = {"settings": {}}, {"fingerprint": "a", "rows": 3}
    begun = with_data(record, data, Path("run"))
    assert begun == record | {"data": data} and with_data(begun, data, Path("run")) == begun
    with pytest.raises(ValueError, match=r"the data changed since the run in run began: .* --init run"):
        with_data(begun, {"fingerprint": "b"}, Path("run"))
