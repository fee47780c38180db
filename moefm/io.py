"""Save a field as a folder of config.json and model.safetensors, and load it. No pickle is ever read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from moefm.continuum import ContinuumField
from moefm.fields import MLPMixtureField
from moefm.files import usual_mode
from moefm.information import InformationTime

KNOWN: dict[str, type[MLPMixtureField] | type[ContinuumField]] = {
    kind.__name__: kind for kind in (MLPMixtureField, ContinuumField)
}
"""Fields that can be rebuilt, by the name of their class."""


def save_field(field: MLPMixtureField | ContinuumField, folder: str | Path, **extra: Any) -> None:
    """Write a field, its ``time_change`` included, to ``folder``; each file appears whole or not at all.

    Args:
        field: The field.
        folder: Made where it does not exist.
        **extra: Anything JSON can hold, kept in ``config.json`` under ``extra``.

    Raises:
        ValueError: ``field`` is of another class, which :func:`load_field` could not rebuild.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> save_field(MLPMixtureField(2, 4), folder, dataset="moons")
        >>> load_field(folder).num_experts
        4
    """
    from safetensors.torch import save_file

    if type(field) not in KNOWN.values():
        raise ValueError(f"field must be one of {', '.join(KNOWN)}, got {type(field).__name__}")
    parts: dict[str, Any] = {"class": type(field).__name__, "config": field.config, "extra": extra}
    if field.time_change is not None:
        parts["time_change"] = field.time_change.config
    config = json.dumps(parts, indent=2)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in field.state_dict().items()}
    (folder / "config.json.part").write_text(config + "\n", encoding="utf-8")
    save_file(state, folder / "model.safetensors.part")
    usual_mode(folder / "model.safetensors.part")
    for name in ("model.safetensors", "config.json"):
        os.replace(folder / f"{name}.part", folder / name)


def load_field(folder: str | Path, device: torch.device | str | None = None) -> MLPMixtureField | ContinuumField:
    """Load a field that :func:`save_field` wrote.

    Raises:
        ValueError: The folder holds no such field.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["class"] not in KNOWN:
            raise ValueError(f"unknown class {config['class']!r}")
        with torch.device("meta"):  # the weights, dtype included, come from the file; no random numbers are drawn
            field = KNOWN[config["class"]](**config["config"])
            if "time_change" in config:
                field.time_change = InformationTime(**config["time_change"])
        field.load_state_dict(load_file(folder / "model.safetensors"), assign=True)
        if damaged := [name for name, value in field.state_dict().items() if not value.isfinite().all()]:
            raise ValueError(f"numbers that are not finite in {damaged[0]}")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"folder must hold a field written by save_field, got {str(folder)!r}: {error}") from None
    return field.to(device).eval()
