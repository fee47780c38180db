"""Checkpoints that survive a kill at any moment: written under another name, flushed to the disk, then renamed.

``FOLDER/state/step-00000500/`` holds ``*.safetensors`` and ``state.json``, which is written last and lists the size and
the hash of every file. The newest two are kept. Nothing is ever pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from yanlm.files import BESIDE, finish, flush, sha256

Tensors = Mapping[str, Mapping[str, Tensor]]

KEEP = 2  # the newest and the one before
STATE_FILE = "state.json"
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""Errors that reading a damaged file, or one of another form, may raise."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; the message is one line that says what to do."""


def state_folder(folder: Path) -> Path:
    """Where the checkpoints of a stage in ``folder`` lie."""
    return folder / "state"


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of ``folder`` with all its files, or ``None``."""
    return next((path for path in saved_checkpoints(folder) if _complete(path)), None)


def saved_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of ``folder``, newest first, whether or not they can be loaded."""
    return sorted((path for path in state_folder(folder).glob("step-*") if path.name[5:].isdigit()), reverse=True)


def step_of(path: Path) -> int:
    """The step of a checkpoint."""
    return int(path.name.removeprefix("step-"))


def drop_checkpoints(folder: Path, after: int) -> None:
    """Remove the checkpoints of later steps."""
    for path in saved_checkpoints(folder):
        if step_of(path) > after:
            shutil.rmtree(path, ignore_errors=True)


def save_checkpoint(folder: Path, step: int, tensors: Tensors, state: Mapping[str, Any]) -> Path:
    """Write ``tensors`` (by file, by name) and ``state`` (JSON) as the checkpoint of ``step``, then drop old ones.

    Raises:
        CheckpointError: The disk is full or cannot be written; earlier checkpoints are unchanged.
    """
    root = state_folder(folder)
    final = root / f"step-{step:08d}"
    with reported(folder, f"saving step {step}"):
        root.mkdir(parents=True, exist_ok=True)
        clean_partial(folder)
        partial = Path(tempfile.mkdtemp(prefix=BESIDE, dir=root))
        try:
            for name, named in tensors.items():
                file = partial / f"{name}.safetensors"
                save_file({key: value.contiguous() for key, value in named.items()}, file)
                finish(file)
            (partial / STATE_FILE).write_text(_state_text({**state, "step": step}, partial), encoding="utf-8")
            finish(partial / STATE_FILE)
            finish(partial)
            if final.exists():  # left by a damaged or an equal save of the same step
                shutil.rmtree(final)
            partial.rename(final)
            flush(root)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    saved = saved_checkpoints(folder)
    place = saved.index(final)  # those before it are damaged, or this one would not have been written
    for path in saved[:place] + saved[place + KEEP :]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def _state_text(state: Mapping[str, Any], partial: Path) -> str:
    """What ``state.json`` holds: the state, sizes and hashes of the files beside it, and a hash of all that."""
    files = sorted(partial.glob("*.safetensors"))
    document = {**state, "files": {file.name: file.stat().st_size for file in files}}
    try:
        hashes = {file.name: sha256(file) for file in files} | {STATE_FILE: _hash_of(document)}
        return json.dumps({**document, "hashes": hashes}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the state of the draw and extra_state must be what JSON holds: {error}") from error


def _hash_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document without its hashes, the same before it is written and after it was read."""
    own = json.loads(json.dumps({name: value for name, value in document.items() if name != "hashes"}, allow_nan=False))
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors (by file, by name) and the state of a checkpoint.

    Checkpoints of earlier versions have no hashes and are not checked.

    Raises:
        CheckpointError: It is incomplete, changed since it was written, or unreadable.
    """
    try:
        state = _read_state(path)
        hashes = state.get("hashes", {})
        for name, size in state["files"].items():
            file = path / name
            if file.stat().st_size != size:
                raise ValueError(f"{name} has not the {size} bytes that were written")
            if name in hashes and sha256(file) != hashes[name]:
                raise ValueError(f"{name} is not as it was written, by its hash")
        if STATE_FILE in hashes and _hash_of(state) != hashes[STATE_FILE]:
            raise ValueError(f"{STATE_FILE} is not as it was written, by its hash")
        tensors = {Path(name).stem: load_file(path / name) for name in state["files"]}
    except (*UNREADABLE, SafetensorError) as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {reason(error)}") from error
    return tensors, state


def reason(error: BaseException) -> str:
    """The message of an error, in one line; if it is only a name, with the kind of error."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__} {text}" if isinstance(error, LookupError | TypeError | AttributeError) else text


def check_room(folder: Path, size: int) -> None:
    """Raise :class:`CheckpointError` unless ``folder`` can be written and has room for the checkpoints of a run.

    Args:
        folder: Folder of the stage; it is made.
        size: Bytes of one checkpoint. The two that are kept and the one being written must fit.
    """
    root = state_folder(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(b"0")
        clean_partial(folder)
        free = shutil.disk_usage(root).free + sum(_size(path) for path in saved_checkpoints(folder))
    except OSError as error:
        if error.errno in _FULL:
            raise CheckpointError(f"the disk of {folder} is full: free some space or choose another --out") from error
        raise CheckpointError(
            f"cannot write to {folder} ({error.strerror or error}): choose a folder you may write to"
        ) from error
    needed = (KEEP + 1) * size
    if free < needed:
        raise CheckpointError(
            f"not enough room in {folder}: the {KEEP + 1} checkpoints of a run take {_human(needed)}, "
            f"{_human(free)} are free; free some space or choose another --out"
        )


def clean_partial(folder: Path) -> None:
    """Remove what a save that was killed left behind."""
    for path in state_folder(folder).glob(f"{BESIDE}*"):
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
        kept = "no checkpoint was there" if last is None else f"the checkpoint of step {step_of(last)} is intact"
        why = "the disk is full" if full else f"the file system refused ({text})"
        remedy = "free some space and resume" if full else "resume when it can be written again"
        raise CheckpointError(f"{why} while {doing} to {folder}: {kept}; {remedy}") from error


def _complete(path: Path) -> bool:
    try:
        return all((path / name).stat().st_size == size for name, size in _read_state(path)["files"].items())
    except UNREADABLE:
        return False


def _read_state(path: Path) -> dict[str, Any]:
    state = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
    if not isinstance(state, dict) or not isinstance(state.get("files"), dict):
        raise ValueError(f"{STATE_FILE} holds no state of a stage")
    if any(Path(name).name != name for name in state["files"]):
        raise ValueError(f"{STATE_FILE} lists files outside the checkpoint")
    return state


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())


def _human(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
