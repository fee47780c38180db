"""Checkpoints that survive a kill at any moment: written beside, flushed to the disk, then renamed.

``FOLDER/state/step-00000500/`` holds ``*.safetensors`` and ``state.json``, which is written last and lists the size of
every file. The newest two are kept. Nothing is ever pickled.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = Mapping[str, Mapping[str, Tensor]]

KEEP = 2  # the newest and the one before
_PARTIAL = ".saving-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; the message is one line that says what to do."""


def state_folder(folder: Path) -> Path:
    """Where the checkpoints of a stage in ``folder`` lie."""
    return folder / "state"


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of ``folder``, or ``None``."""
    for path in reversed(_saved(folder)):
        if _complete(path):
            return path
    return None


def save_checkpoint(folder: Path, step: int, tensors: Tensors, state: Mapping[str, Any]) -> Path:
    """Write ``tensors`` (by file, by name) and ``state`` (JSON) as the checkpoint of ``step``, then drop old ones.

    Raises:
        CheckpointError: The disk is full or cannot be written; earlier checkpoints are as they were.
    """
    root = state_folder(folder)
    final = root / f"step-{step:08d}"
    with reported(folder, f"saving step {step}"):
        root.mkdir(parents=True, exist_ok=True)
        clean_partial(folder)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=root))
        try:
            sizes = {}
            for name, named in tensors.items():
                file = partial / f"{name}.safetensors"
                save_file({key: value.contiguous() for key, value in named.items()}, file)
                _flush(file)
                sizes[file.name] = file.stat().st_size
            try:
                text = json.dumps({**state, "step": step, "files": sizes}, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise TypeError(f"the state of the draw and extra_state must be what JSON holds: {error}") from error
            (partial / "state.json").write_text(text, encoding="utf-8")
            _flush(partial / "state.json")
            partial.chmod(0o755)  # mkdtemp's is for its owner alone
            _flush(partial)
            if final.exists():  # of a damaged or an equal save of the same step
                shutil.rmtree(final)
            partial.rename(final)
            _flush(root)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    saved = _saved(folder)
    newer = saved.index(final) + 1  # those after it are damaged, or this one would not have been written
    for path in saved[newer:] + saved[: max(0, newer - KEEP)]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors (by file, by name) and the state of a checkpoint.

    Raises:
        CheckpointError: It is not complete or cannot be read.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        tensors = {Path(name).stem: load_file(path / name) for name in state["files"]}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
    return tensors, state


def check_room(folder: Path, size: int) -> None:
    """Raise :class:`CheckpointError` unless ``folder`` can be written and has room for the checkpoints of a run.

    Args:
        folder: Of the stage; it is made.
        size: Bytes of one checkpoint. The two that are kept and the one being written must fit.
    """
    root = state_folder(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(b"0")
        clean_partial(folder)
        free = shutil.disk_usage(root).free + sum(_size(path) for path in _saved(folder))
    except OSError as error:
        if error.errno in _FULL:
            raise CheckpointError(f"the disk of {folder} is full: free some space or choose another --out") from error
        reason = error.strerror or error
        raise CheckpointError(f"cannot write to {folder} ({reason}): choose a folder you may write to") from error
    needed = (KEEP + 1) * size
    if free < needed:
        raise CheckpointError(
            f"not enough room in {folder}: the {KEEP + 1} checkpoints of a run take {_human(needed)}, "
            f"{_human(free)} are free; free some space or choose another --out"
        )


def clean_partial(folder: Path) -> None:
    """Remove what a save that was killed left behind."""
    for path in state_folder(folder).glob(f"{_PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def reported(folder: Path, doing: str) -> Iterator[None]:
    """Turn a failure to write inside into a :class:`CheckpointError` that names the last checkpoint still whole."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        text = str(error)
        full = isinstance(error, OSError) and error.errno in _FULL
        # The Rust side of safetensors gives the operating system's error as text only.
        full = full or any(f"os error {number}" in text for number in _FULL)
        last = latest_checkpoint(folder)
        kept = "no checkpoint was there" if last is None else f"the checkpoint of step {int(last.name[5:])} is intact"
        reason = "the disk is full" if full else f"the file system refused ({text})"
        remedy = "free some space and resume" if full else "resume when it can be written again"
        raise CheckpointError(f"{reason} while {doing} to {folder}: {kept}; {remedy}") from error


def _saved(folder: Path) -> list[Path]:
    return sorted(path for path in state_folder(folder).glob("step-*") if path.name[5:].isdigit())


def _complete(path: Path) -> bool:
    try:
        sizes = json.loads((path / "state.json").read_text(encoding="utf-8"))["files"]
        return all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())


def _human(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
