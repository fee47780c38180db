"""Modes of files: some libraries write files that only their owner can read; these follow the umask instead."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def usual_mode(path: Path) -> None:
    """Give a file or a folder the mode that a new one beside it would have.

    The umask is not asked for, since that would change it for all threads of the process.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> private, usual = folder / "private", folder / "usual"
        >>> private.touch(0o600), usual.touch()
        (None, None)
        >>> usual_mode(private)
        >>> private.stat().st_mode == usual.stat().st_mode
        True
    """
    probe = path.with_name(f".mode-{os.getpid()}-{path.name}")
    if path.is_dir():
        probe.mkdir()
    else:
        probe.touch()
    try:
        shutil.copymode(probe, path)
    finally:
        if path.is_dir():
            probe.rmdir()
        else:
            probe.unlink()
