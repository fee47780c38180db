"""The folder of a run belongs to one process at a time, and is left as it was if nothing was trained."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from yanlm.files import pasted

try:
    import fcntl
except ImportError:  # on Windows, where nothing keeps two processes apart
    fcntl = None  # type: ignore[assignment]

RUN_FILES = ("run.json", "tokenizer", "stage1", "stage2", "losses.png", "samples.txt", "predictions.jsonl")
"""What a run writes; the first holds its settings."""
FINETUNING_FILES = ("plan.json", "finetune.json")
"""What a fine-tuning writes beside its runs."""


def holds_run(folder: Path) -> bool:
    """Whether a run in the folder has begun a stage: it has a checkpoint or a model."""
    return any(any(folder.glob(f"stage*/{name}")) for name in ("state/step-*", "model.safetensors"))


def holds_finetuning(folder: Path) -> bool:
    """Whether a fine-tuning in the folder has begun a run."""
    return any(holds_run(seed) for seed in folder.glob("seed-*"))


def others_files(folder: Path, files: Sequence[str]) -> list[str]:
    """Names among ``files`` that are there although the first of them, with its settings, is not."""
    try:
        known = isinstance(json.loads((folder / files[0]).read_text(encoding="utf-8"))["settings"], dict)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        known = False
    return [] if known else [name for name in files if os.path.lexists(folder / name)]


def is_free(folder: Path) -> bool:
    """Whether a run may begin in the folder."""
    if not folder.exists():
        return True
    try:
        with _locked(folder):
            _check_content(folder, resume=False, finetuning=False)
    except (OSError, ValueError):
        return False
    return True


def check_free(folder: Path | None, *, resume: bool, finetuning: bool = False) -> None:
    """Raise as :func:`claimed` will if the folder is taken; for the command line, before large packages are imported.

    ``None`` is a folder that is still to be chosen. Of the processes of one training only the first looks, since it may
    have the folder already.

    Raises:
        ValueError: It is taken.
    """
    if folder is not None and folder.is_dir() and int(os.environ.get("RANK", "0")) == 0:
        with contextlib.suppress(OSError), _locked(folder):  # what else is wrong with it is said later
            _check_content(folder, resume, finetuning)


@contextlib.contextmanager
def claimed(folder: Path, *, resume: bool, finetuning: bool = False) -> Iterator[None]:
    """Claim the folder for this process; if the block fails before anything was trained, leave it as it was.

    The system releases the folder when the process ends, in whatever way.

    Args:
        folder: Created if it does not exist.
        resume: Go on with what is there.
        finetuning: Whether the block is a fine-tuning, with runs inside the folder, or a run.

    Raises:
        ValueError: Another process has it, it holds what was begun, or files of a run's names that no run wrote, and
            ``resume`` is not set, or it cannot be written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror or error}; choose another --out") from None
    if not os.access(folder, os.W_OK):
        raise ValueError(f"cannot write to {folder}: no permission; choose another --out")
    with _locked(folder):
        _check_content(folder, resume, finetuning)
        before = {path.name for path in folder.iterdir()}
        try:
            yield
        except BaseException:
            files, begun = _kind(finetuning)
            if not resume and not begun(folder):
                _clear(folder, set(files) - before, missing)
            raise


def _kind(finetuning: bool) -> tuple[Sequence[str], Callable[[Path], bool]]:
    """What is written, and whether something was begun."""
    return (FINETUNING_FILES, holds_finetuning) if finetuning else (RUN_FILES, holds_run)


def _check_content(folder: Path, resume: bool, finetuning: bool) -> None:
    if resume:
        return
    files, begun = _kind(finetuning)
    if begun(folder):
        kind = "a fine-tuning" if finetuning else "a run"
        raise ValueError(
            f"{folder} holds {kind} already; go on with it: --resume {pasted(folder)}, or choose another --out"
        )
    if others := others_files(folder, files):
        names = ", ".join(others)
        raise ValueError(f"{folder} holds {names} that no run wrote; move that away, or choose another --out")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A lock on the folder, which ends with the block or with the process.

    Raises:
        ValueError: Another process holds it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"another process is training in {folder}: wait until it ends, stop it, or choose another --out"
                ) from None
        yield
    finally:
        os.close(handle)


def _clear(folder: Path, files: set[str], missing: Sequence[Path]) -> None:
    """Remove what was written, and folders that were made and are empty now."""
    for name in files:
        path = folder / name
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with contextlib.suppress(OSError):
        for path in missing:
            path.rmdir()
