"""A run's folder: one process at a time, and as it was when nothing was trained."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from yanlm.runs import claim
from yanlm.runs.claim import check_free, claimed, holds_finetuning, holds_run, is_free

HOLD = """
import sys, time
from pathlib import Path
from yanlm.runs.claim import claimed
with claimed(Path(sys.argv[1]), resume=True):
    print("held", flush=True)
    time.sleep(60)
"""


class Failed(Exception):
    pass


def fail(folder: Path, *written: str, resume: bool = False) -> None:
    with pytest.raises(Failed), claimed(folder, resume=resume):
        for name in written:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x")
        raise Failed


def test_one_process_at_a_time_and_none_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="another process is training in"), claimed(tmp_path, resume=True):
        pass
    assert not is_free(tmp_path)
    for options in ({"resume": True}, {"resume": False}, {"resume": True, "finetuning": True}):
        with pytest.raises(ValueError, match="another process is training in"):
            check_free(tmp_path, **options)
    monkeypatch.setenv("RANK", "1")
    check_free(tmp_path, resume=True)  # of the same training
    monkeypatch.delenv("RANK")
    other.kill()
    other.wait()
    check_free(tmp_path, resume=True)
    with claimed(tmp_path, resume=True):
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_a_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    fail(tmp_path / "runs" / "yanlm", "run.json", "tokenizer/tokenizer.json", "stage1/log.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    fail(tmp_path, "run.json", "stage1/log.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("own", ["run.json", "tokenizer/tokenizer.json", "samples.txt", "stage1/config.json"])
def test_files_of_no_run_are_not_replaced(tmp_path: Path, own: str) -> None:
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_text('["mine"]')
    name = own.partition("/")[0]
    with (
        pytest.raises(ValueError, match=f"holds {name} that no run wrote; .* choose another --out"),
        claimed(tmp_path, resume=False),
    ):
        pass
    assert (tmp_path / own).read_text() == '["mine"]' and not is_free(tmp_path)


def test_what_was_trained_stays(tmp_path: Path) -> None:
    fail(tmp_path, "run.json", "stage1/state/step-00000000/state.json")
    assert holds_run(tmp_path) and (tmp_path / "run.json").is_file()
    with (
        pytest.raises(ValueError, match=r"holds a run already; go on with it: --resume"),
        claimed(tmp_path, resume=False),
    ):
        pass
    with pytest.raises(ValueError, match=r"holds a run already; go on with it: --resume"):
        check_free(tmp_path, resume=False)
    check_free(tmp_path, resume=True)
    check_free(tmp_path, resume=False, finetuning=True)
    check_free(tmp_path / "none", resume=False)
    check_free(None, resume=False)
    fail(tmp_path, "run.json", resume=True)
    assert (tmp_path / "run.json").is_file()


def test_a_run_without_a_stage_is_free(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"settings": {}}')
    (tmp_path / "tokenizer").mkdir()
    assert is_free(tmp_path) and is_free(tmp_path / "none")
    with claimed(tmp_path, resume=False):
        pass
    assert (tmp_path / "run.json").is_file()


def test_a_finetuning_has_begun_when_a_seed_has(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    assert not holds_finetuning(tmp_path)
    (tmp_path / "seed-0" / "stage2").mkdir()
    (tmp_path / "seed-0" / "stage2" / "model.safetensors").write_text("x")
    assert holds_finetuning(tmp_path)
    with (
        pytest.raises(ValueError, match="holds a fine-tuning already"),
        claimed(tmp_path, resume=False, finetuning=True),
    ):
        pass
    with pytest.raises(ValueError, match="holds a fine-tuning already"):
        check_free(tmp_path, resume=False, finetuning=True)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match="choose another --out"), claimed(out, resume=False):
            pass


class NoLocks:
    LOCK_EX = LOCK_NB = 0

    @staticmethod
    def flock(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")


@pytest.mark.parametrize("locks", [None, NoLocks], ids=["Windows", "a file system without locks"])
def test_where_nothing_locks_a_run_begins_and_fails_as_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: type | None
) -> None:
    monkeypatch.setattr(claim, "fcntl", locks)
    fail(tmp_path / "one", "run.json")
    assert is_free(tmp_path / "one") and not (tmp_path / "one").exists()
    fail(tmp_path / "two", "run.json", "stage1/model.safetensors")
    assert not is_free(tmp_path / "two") and (tmp_path / "two" / "run.json").is_file()


def test_a_folder_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="no permission; choose another --out"), claimed(tmp_path, resume=False):
        pass
