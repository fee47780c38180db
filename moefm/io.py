"""Save a field as a folder of config.json and model.safetensors, and load it. No pickle is ever read."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moefm.continuum import ContinuumField
from moefm.fields import MixtureField, MLPMixtureField
from moefm.files import usual_mode
from moefm.information import InformationTime
from moefm.inputs import check_device

KNOWN: dict[str, type[MixtureField]] = {kind.__name__: kind for kind in (MLPMixtureField, ContinuumField)}
"""The library's own fields, by the name of their class."""


def save_field(field: MixtureField, folder: str | Path, **extra: Any) -> None:
    """Write a field, its ``time_change`` included, to ``folder``; each file appears whole or not at all.

    A field of your own needs ``config``, an attribute or a property: the arguments of its constructor by name, as JSON
    can hold them. They are stored with the path of the class, and checked at once.

    Args:
        field: The field.
        folder: Created if it does not exist.
        **extra: Anything JSON can hold, kept in ``config.json`` under ``extra``.

    Raises:
        ValueError: ``field`` is no field, or its class and ``config`` do not rebuild it.
        TypeError: ``config`` or ``extra`` holds something that JSON cannot.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> save_field(MLPMixtureField(2, 4), folder, dataset="moons")
        >>> load_field(folder).num_experts
        4
    """
    from safetensors.torch import save_file

    parts: dict[str, Any] = {**_described(field), "extra": extra}
    try:
        config = json.dumps(parts, indent=2)
    except TypeError as error:
        raise TypeError(f"config and extra must hold what JSON can: {error}") from None
    # Copies, since safetensors refuses weights that share memory.
    state = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in _state(field)}
    if type(field) not in KNOWN.values():
        built = _build(type(field), json.loads(config))
        _check_fit(state, built, "in the field", f"in {type(field).__name__}(**config)")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json.part").write_text(config + "\n", encoding="utf-8")
    save_file(state, folder / "model.safetensors.part")
    usual_mode(folder / "model.safetensors.part")
    for name in ("model.safetensors", "config.json"):
        os.replace(folder / f"{name}.part", folder / name)


def load_field(
    folder: str | Path, device: torch.device | str | None = None, field_class: type[MixtureField] | None = None
) -> MixtureField:
    """Load a field that :func:`save_field` wrote.

    Args:
        folder: The folder.
        device: Device of the field; ``None`` is the CPU.
        field_class: Class of a field of your own. It may be left out where its module is imported already; nothing is
            ever imported because a folder says so.

    Raises:
        ValueError: The folder holds no such field, or one of a class that is neither known, given nor imported; or
            torch has no such device.
        TypeError: ``field_class`` is no class of fields.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> save_field(MLPMixtureField(2, 4), folder)
        >>> load_field(folder).experts(torch.zeros(5, 2), 0.5).shape
        torch.Size([5, 4, 2])
    """
    folder = Path(folder)
    if field_class is not None and not (isinstance(field_class, type) and issubclass(field_class, MixtureField)):
        raise TypeError(f"field_class must be a subclass of MixtureField, got {field_class!r}")
    if device is not None:
        check_device(device)
    try:
        parts = _read_config(folder)
        kind = field_class or KNOWN.get(parts["class"]) or _imported(parts["class"])
        if kind is not None:
            field = _build(kind, parts)
            _fill(field, _read_weights(folder))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"folder must hold a field written by save_field, got {str(folder)!r}: {_line(error)}"
        ) from None
    if kind is None:
        module, _, name = parts["class"].partition(":")
        raise ValueError(
            f"field_class must be given as {name}, or its module {module} be imported before: "
            f"{str(folder)!r} holds a field of that class"
        )
    return field.to(device).eval()


def _described(field: MixtureField) -> dict[str, Any]:
    """Class, arguments and time of a field: what :func:`_build` rebuilds it from."""
    kind = type(field)
    if not isinstance(field, MixtureField):
        raise ValueError(f"field must be a MixtureField, got {kind.__name__}")
    arguments = getattr(field, "config", None)
    if not isinstance(arguments, dict):
        raise ValueError(
            f"field must have config, a dictionary of its constructor's arguments, to be saved: {kind.__name__} has "
            f"{'none' if arguments is None else repr(arguments)}"
        )
    own = KNOWN.get(kind.__name__) is not kind
    parts: dict[str, Any] = {
        "class": f"{kind.__module__}:{kind.__qualname__}" if own else kind.__name__,
        "config": arguments,
    }
    if field.time_change is not None:
        parts["time_change"] = field.time_change.config
    return parts


def _build(kind: type[MixtureField], parts: dict[str, Any]) -> MixtureField:
    """A field with the stored arguments; its weights are overwritten later."""
    if kind in KNOWN.values():
        with torch.device("meta"):  # nothing is computed
            return _with_time(kind(**parts["config"]), parts)
    # A user's constructor may compute, and hold buffers that are not part of the state.
    with torch.random.fork_rng(devices=[]):
        try:
            return _with_time(kind(**parts["config"]), parts)
        except Exception as error:
            raise ValueError(f"{kind.__name__}(**config) raised {type(error).__name__}: {_line(error)}") from None


def _with_time(field: MixtureField, parts: dict[str, Any]) -> MixtureField:
    if "time_change" in parts:
        field.time_change = InformationTime(**parts["time_change"])
    return field


def _state(field: MixtureField) -> list[tuple[str, Tensor]]:
    return list(field.state_dict(keep_vars=True).items())


def _check_fit(weights: dict[str, Tensor], field: MixtureField, theirs: str, its: str) -> None:
    """Raise unless the field has weights of these names and shapes."""
    given, wanted = ({name: tuple(value.shape) for name, value in s} for s in (weights.items(), _state(field)))
    for name in wanted | given:
        if given.get(name) != wanted.get(name):
            raise ValueError(f"{name} is {given.get(name, 'missing')} {theirs}, {wanted.get(name, 'missing')} {its}")


def _fill(field: MixtureField, weights: dict[str, Tensor]) -> None:
    """Give the field its weights, dtype included."""
    _check_fit(weights, field, "in model.safetensors", "by config.json")
    if damaged := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise ValueError(f"numbers that are not finite in {damaged[0]}")
    if type(field) in KNOWN.values():
        field.load_state_dict(weights, assign=True)
        return
    for name, value in _state(field):  # in place, so that weights which share memory go on sharing it
        value.data = value.data.to(weights[name].dtype)
    field.load_state_dict(weights)


def _read_config(folder: Path) -> dict[str, Any]:
    text = _existing(folder / "config.json")
    try:
        parts = json.loads(text.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"config.json is damaged ({error})") from None
    for key, kind in (("class", str), ("config", dict)):
        if not isinstance(parts, dict) or not isinstance(parts.get(key), kind):
            raise ValueError(f"config.json has no {key!r}")
    if ":" not in parts["class"] and parts["class"] not in KNOWN:
        raise ValueError(f"unknown class {parts['class']!r}; known are {', '.join(KNOWN)}")
    return dict(parts)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights = _existing(folder / "model.safetensors")
    try:
        return load_file(weights)
    except SafetensorError as error:
        raise ValueError(f"model.safetensors is damaged ({error})") from None


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise ValueError(f"there is no {file.name}")
    return file


def _imported(path: str) -> type[MixtureField] | None:
    """The class at ``module:name``, if its module is imported and it is a field's."""
    module, _, name = path.partition(":")
    kind: Any = sys.modules.get(module)
    for part in name.split("."):
        kind = getattr(kind, part, None)
    return kind if isinstance(kind, type) and issubclass(kind, MixtureField) else None


def _line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())
