"""Training for a study: short runs that leave nothing behind, and the stage 1 that all runs of a seed share."""

from __future__ import annotations

import shutil
from pathlib import Path

from yanlm.data.corpus import Corpus
from yanlm.files import writing_to
from yanlm.runs.listener import Listener
from yanlm.runs.run import train
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.study import Json
from yanlm.studies.tools.variants import laid_over

MARK = ".study"
"""An empty file in folders that studies make, and may remove again."""

NEVER = 10**9
QUIET: Json = {"save_every": NEVER, "sample_every": NEVER}
"""Options of a run without checkpoints and samples on the way: a run of a study that dies is started again."""


def train_anew(
    settings: RunSettings,
    folder: Path,
    device: str = "cpu",
    corpus: Corpus | None = None,
    listener: Listener | None = None,
) -> Json:
    """Train into the folder, anew if an earlier call did; return the contents of ``run.json``.

    Args:
        settings: Settings of the run.
        folder: What an earlier call left there is removed.
        device: Where the model is trained.
        corpus: The rows that the settings name, if they have been read already.
        listener: Receives the progress.

    Raises:
        ValueError: The folder exists and no study made it, or as of :func:`yanlm.runs.run.train`.
    """
    if folder.exists() and not (folder / MARK).is_file():
        raise ValueError(f"{folder} was there before this study, which would train in it; choose another --out")
    shutil.rmtree(folder, ignore_errors=True)
    with writing_to(folder):
        (folder / MARK).touch()
    record = train(settings, folder, device=device, corpus=corpus, listener=listener)
    assert record is not None  # a single process
    return record


def shared_stage1(folder: Path, options: Json, device: str = "cpu") -> Path:
    """The folder with a stage 1 that several runs begin from, trained if it does not exist."""
    if not all((folder / name).is_file() for name in (MARK, "stage1/model.safetensors")):
        train_anew(resolve(laid_over(options, {"stage": "1"})), folder, device)
    return folder
