"""Trackers of accelerate, which get the numbers of a training in addition to ``log.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NONE = "none"
DEFAULT = "tensorboard"
"""The one that needs neither an account nor a server; silently left out if it is not installed."""
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio", "mlflow": "mlflow", "aim": "aim"}
PACKAGES |= {"comet_ml": "comet_ml", "clearml": "clearml", "dvclive": "dvclive", "swanlab": "swanlab"}
"""Module of each tracker that accelerate knows."""
PROJECT = "yanlm"


def check_trackers(names: Sequence[str]) -> None:
    """Check that trackers are known and installed.

    Raises:
        ValueError: One is not.

    Example:
        >>> check_trackers(["none"])
        >>> check_trackers(["paper"])
        Traceback (most recent call last):
        ValueError: log_with must be among aim, clearml, ..., or none, got 'paper'
    """
    for name in names:
        if name != NONE and name not in PACKAGES:
            raise ValueError(f"log_with must be among {', '.join(sorted(PACKAGES))}, or none, got {name!r}")
        if name not in (NONE, DEFAULT) and find_spec(PACKAGES[name]) is None:
            raise ValueError(f"log_with {name} needs its package: pip install {PACKAGES[name]}, or leave it out")


def started(names: Sequence[str], folder: Path, step: int) -> list[Any]:
    """Start trackers, which take numbers from the step after ``step`` on; call it in the main process.

    Args:
        names: Of :data:`PACKAGES`, or ``none``.
        folder: The stage's; files of a tracker go into a folder of its name there.
        step: The last finished step.
    """
    from accelerate.state import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()  # trackers ask it whether this is the main process
    trackers = []
    for name in [name for name in names if name != NONE and find_spec(PACKAGES[name]) is not None]:
        kind: Any = LOGGER_TYPE_TO_CLASS[name]
        options: dict[str, Any] = {"logging_dir": str(folder)} if kind.requires_logging_directory else {}
        options |= {"purge_step": step + 1} if name == "tensorboard" else {}
        tracker = kind(name if kind.requires_logging_directory else PROJECT, **options)
        getattr(tracker, "start", lambda: None)()
        trackers.append(tracker)
    return trackers


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of the log by name; those of its parts are called ``parts/NAME``.

    Example:
        >>> numbers({"step": 3, "loss": 1.5, "parts": {"ce": 1.0}})
        {'loss': 1.5, 'parts/ce': 1.0}
    """
    flat = {**record, **{f"parts/{name}": value for name, value in record["parts"].items()}}
    return {name: value for name, value in flat.items() if name not in ("step", "parts") and value is not None}
