"""Training for a study: short runs that leave nothing behind, and the stage 1 that all runs of a seed share."""

from __future__ import annotations

import shutil
from pathlib import Path

from yanlm.data.corpus import Corpus
from yanlm.runs.listener import Listener
from yanlm.runs.run import train
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.study import Json
from yanlm.studies.tools.variants import laid_over

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
    """Train into the folder, whatever it holds; data is read if not given. Return the contents of ``run.json``."""
    shutil.rmtree(folder, ignore_errors=True)
    record = train(settings, folder, device=device, corpus=corpus, listener=listener)
    assert record is not None  # a single process
    return record


def shared_stage1(folder: Path, options: Json, device: str = "cpu") -> Path:
    """The folder with a stage 1 that several runs begin from, trained if it does not exist."""
    if not (folder / "stage1" / "model.safetensors").is_file():
        train_anew(resolve(laid_over(options, {"stage": "1"})), folder, device)
    return folder
