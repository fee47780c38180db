"""The folder that a command writes to. It loads nothing, so that a command can ask first."""

from __future__ import annotations

import tempfile
from pathlib import Path


def prepare_folder(folder: Path) -> None:
    """Make the folder and prove that it can be written to, before any training.

    Raises:
        ValueError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"--out must be a folder that can be written to, got {str(folder)!r}: {error.strerror or error}"
        ) from None
