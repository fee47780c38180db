"""Whatever happens while a checkpoint is written, one that can be loaded stays."""

import copy
import errno
import json
import os
import shutil
import subprocess
from collections import namedtuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from torch import nn

from yanlm.training import checkpoints
from yanlm.training.checkpoints import (
    CheckpointError,
    check_room,
    drop_checkpoints,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from yanlm.training.distributed import restore, snapshot


def tensors(step, size=4):
    return {"model": {"a": torch.full((size,), float(step))}, "optimizer": {"a/step": torch.tensor(float(step))}}


def save(folder, *steps):
    for step in steps:
        save_checkpoint(folder, step, tensors(step), {"note": step})


def latest(folder):
    path = latest_checkpoint(folder)
    if path is None:
        return None
    loaded, state = load_checkpoint(path)
    assert loaded["model"]["a"][0] == state["step"] == state["note"] == loaded["optimizer"]["a/step"]
    return state["step"]


def names(folder):
    return sorted(path.name for path in (folder / "state").iterdir())


def test_what_is_saved_is_loaded_and_two_are_kept(tmp_path):
    assert latest(tmp_path) is None
    save(tmp_path, 0, 5, 10, 100)
    assert latest(tmp_path) == 100
    assert names(tmp_path) == ["step-00000010", "step-00000100"]
    files = sorted(path.name for path in latest_checkpoint(tmp_path).iterdir())
    assert files == ["model.safetensors", "optimizer.safetensors", "state.json"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(12))
@pytest.mark.parametrize("same", [False, True])
def test_a_save_that_stops_anywhere_leaves_a_whole_checkpoint(tmp_path, monkeypatch, moment, same):
    save(tmp_path, 1, 2)
    count = 0

    def dying(function):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count > moment:
                raise Killed  # and from then on nothing works, as in a process that is gone
            return function(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "finish", dying(checkpoints.finish))
        patch.setattr(checkpoints, "flush", dying(checkpoints.flush))
        patch.setattr(checkpoints, "save_file", dying(checkpoints.save_file))
        patch.setattr(checkpoints.shutil, "rmtree", dying(shutil.rmtree))
        patch.setattr(checkpoints.Path, "rename", dying(checkpoints.Path.rename))
        try:
            save(tmp_path, 2 if same else 3)
            finished = True
        except Killed:
            finished = False
    assert latest(tmp_path) in ((1, 2) if same else (2, 3))
    assert not finished or latest(tmp_path) == (2 if same else 3)
    save(tmp_path, 4)
    assert latest(tmp_path) == 4
    assert len(names(tmp_path)) == 2 and all(name.startswith("step-") for name in names(tmp_path))


@pytest.mark.parametrize("damage", ["state.json", "model.safetensors", "optimizer.safetensors"])
def test_a_damaged_checkpoint_is_passed_over_and_replaced(tmp_path, damage):
    save(tmp_path, 1, 3)
    file = tmp_path / "state" / "step-00000003" / damage
    file.write_bytes(file.read_bytes()[:-1])
    assert latest(tmp_path) == 1
    save(tmp_path, 2)
    assert latest(tmp_path) == 2
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def flipped(file, place=-1):
    raw = bytearray(file.read_bytes())
    raw[place] ^= 64
    file.write_bytes(raw)


@pytest.mark.parametrize("damage", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("place", [5, -1])
def test_a_flipped_bit_is_noticed(tmp_path, damage, place):
    save(tmp_path, 1, 3)
    path = latest_checkpoint(tmp_path)
    flipped(path / damage, place)
    with pytest.raises(CheckpointError, match=rf"cannot read .*step-00000003: {damage} is not as it was written"):
        load_checkpoint(path)


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_any_flipped_bit_of_the_state_is_noticed_or_harmless(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("flip")
    save(folder, 3)
    path = latest_checkpoint(folder)
    whole = load_checkpoint(path)[1]
    file = path / "state.json"
    raw = bytearray(file.read_bytes())
    raw[place % len(raw)] ^= 1 << bit
    file.write_bytes(raw)
    try:
        state = load_checkpoint(path)[1]
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:  # in the name or value of a hash that nothing else depends on
        assert {name: state[name] for name in ("note", "step", "files")} == {
            name: whole[name] for name in ("note", "step", "files")
        }


FORMS = [
    "[]",
    "3",
    "null",
    "{}",
    '{"files": []}',
    '{"files": {"x": 1}}',
    '{"files": {"../x": 1}}',
    "[" * 10**5,
    "",
    "\xff",
    '{"files": {"model.safetensors": "x"}}',
    '{"files": {"": 1}}',
]


@pytest.mark.parametrize("text", FORMS, ids=range(len(FORMS)))
def test_a_state_of_another_form_is_one_line(tmp_path, text):
    save(tmp_path, 1, 3)
    (tmp_path / "state" / "x").write_text("1")
    (tmp_path / "state" / "step-00000003" / "state.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match="cannot read the checkpoint") as caught:
        load_checkpoint(tmp_path / "state" / "step-00000003")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert latest(tmp_path) == 1


def test_checkpoints_of_earlier_versions_have_no_hashes(tmp_path):
    save(tmp_path, 3)
    file = latest_checkpoint(tmp_path) / "state.json"
    state = json.loads(file.read_text())
    del state["hashes"]
    file.write_text(json.dumps(state))
    assert latest(tmp_path) == 3


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL, ids=["enospc", "quota", "safetensors"])
def test_a_full_disk_is_one_clear_line_and_costs_nothing(tmp_path, monkeypatch, error):
    save(tmp_path, 7)

    def full(*_):
        raise error

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(CheckpointError) as caught:
        save(tmp_path, 8)
    text = str(caught.value)
    assert "disk is full" in text and str(tmp_path) in text and "step 7 is intact" in text and "\n" not in text
    assert names(tmp_path) == ["step-00000007"]


def test_other_failures_to_write_are_told_as_they_are(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoints, "save_file", denied)
    with pytest.raises(CheckpointError, match=r"Permission denied.*no checkpoint was there"):
        save(tmp_path, 8)


def test_a_really_full_disk(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if os.name == "nt" or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        save_checkpoint(small, 1, tensors(1, 20_000), {"note": 1})
        save_checkpoint(small, 2, tensors(2, 20_000), {"note": 2})
        with pytest.raises(CheckpointError, match=r"disk is full.*step 2 is intact"):
            save_checkpoint(small, 3, tensors(3, 40_000), {"note": 3})
        assert latest(small) == 2
        with pytest.raises(CheckpointError, match="not enough room"):
            check_room(small, 200_000)
        check_room(small, 80_000)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_room_and_rights_are_looked_at_before_anything_is_trained(tmp_path, monkeypatch):
    check_room(tmp_path / "new" / "deep", 1000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: usage(10**9, 0, 2_500_000_000))
    check_room(tmp_path, 800_000_000)
    with pytest.raises(CheckpointError, match=r"take 3\.0 GB, 2\.5 GB are free"):
        check_room(tmp_path, 1_000_000_000)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CheckpointError, match="cannot write to"):
        check_room(blocked, 1)
    with pytest.raises(CheckpointError, match="cannot write to"):
        check_room(blocked / "below", 1)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["enospc", "quota"])
def test_a_disk_that_is_full_is_told_before_anything_is_trained(tmp_path, monkeypatch, code):
    def full(**_):
        raise OSError(code, "full")

    monkeypatch.setattr(checkpoints.tempfile, "TemporaryFile", full)
    with pytest.raises(CheckpointError, match="is full: free some space or choose another --out"):
        check_room(tmp_path, 1)


def test_later_checkpoints_are_dropped(tmp_path):
    save(tmp_path, 1, 2)
    drop_checkpoints(tmp_path, after=1)
    assert latest(tmp_path) == 1 and names(tmp_path) == ["step-00000001"]


def test_leftovers_of_a_kill_are_cleaned_up(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "state" / ".saving-x").mkdir()
    (tmp_path / "state" / ".saving-x" / "model.safetensors").write_bytes(b"half")
    assert latest(tmp_path) == 1
    save(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_state_must_be_json(tmp_path):
    with pytest.raises(TypeError, match="JSON"):
        save_checkpoint(tmp_path, 1, {}, {"draw": object()})
    with pytest.raises(CheckpointError, match="cannot read"):
        load_checkpoint(tmp_path)
    assert names(tmp_path) == []


def test_weights_that_nothing_trains_do_not_stand_in_the_way_of_a_resume():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model["used"](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    saved = copy.deepcopy(snapshot(model, optimizer))  # as if from a file
    fresh = copy.deepcopy(model)
    again = torch.optim.AdamW(fresh.parameters(), lr=0.1)
    restore(fresh, again, saved)
    assert {name for name, weight in fresh.named_parameters() if weight in again.state} == {"used.weight", "used.bias"}
    for each, its in ((model, optimizer), (fresh, again)):
        its.zero_grad()
        each["used"](torch.ones(1, 2)).sum().backward()
        its.step()
    assert all(map(torch.equal, model.state_dict().values(), fresh.state_dict().values()))
