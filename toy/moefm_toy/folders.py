"""The folder that a command writes to. It loads nothing, so that a command can ask first."""

from __future__ import annotations

import tempfile
from pathlib import Path

FIELDS = "fields"
"""Folder of the trained fields, which every run has from its first training on."""
_RESULTS = (
    "metrics.json", "samples.npz", "figure.png", "figure.svg", "curves.png", "losses.png", "experts.png", "images.png",
    "transport.gif", "pairs-*.png",
)  # fmt: skip


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


def refuse_foreign(folder: Path) -> None:
    """Check that no file of the user's is named like those that a run writes.

    Raises:
        ValueError: There is one, and no run was here before.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "metrics.json").touch()
        >>> refuse_foreign(folder)
        Traceback (most recent call last):
        ValueError: --out must be a folder without metrics.json, which no run of moefm toy wrote, got ...
    """
    foreign = [] if (folder / FIELDS).is_dir() else [file for name in _RESULTS for file in folder.glob(name)]
    if foreign:
        raise ValueError(
            f"--out must be a folder without {foreign[0].name}, which no run of moefm toy wrote, got {str(folder)!r}"
        )
