"""What a run may change when it goes on, and how it remembers that."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from yanlm.data.specs import absolute_spec
from yanlm.files import pasted
from yanlm.runs.parsing import replaced
from yanlm.runs.settings import RunSettings

CHANGEABLE = ("lr", "minutes", "steps1", "steps2", "save_every", "log_every", "eval_rows")
"""Settings that do not change the data, the model or the random streams."""


def resumed(settings: RunSettings, changes: Mapping[str, Any]) -> RunSettings:
    """Settings of a run that goes on with another peak rate, length or interval.

    Args:
        settings: As the run was begun.
        changes: Values by name, of :data:`CHANGEABLE`; ``lr`` is of both stages, and minutes and steps replace each
            other.

    Raises:
        ValueError: Another setting is to be changed, or a value is out of range.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> resumed(resolve({"minutes": 3}), {"lr": 1e-4, "steps1": 10, "steps2": 20}).for_stage(2).steps
        20
    """
    if fixed := sorted(changes.keys() - set(CHANGEABLE)):
        raise ValueError(
            f"{', '.join(fixed)} cannot be changed in a run that goes on, only {', '.join(CHANGEABLE)}: begin another"
        )
    values = {name: value for name, value in changes.items() if name != "lr"}
    if "minutes" in values and not {"steps1", "steps2"} & values.keys():
        values |= {"steps1": None, "steps2": None}
    elif "minutes" not in values and {"steps1", "steps2"} & values.keys():
        values["minutes"] = None
    if "lr" in changes:
        for name in ("recipe1", "recipe2"):
            values[name] = replaced(getattr(settings, name), name, {"lr": changes["lr"]})
    return replaced(settings, "", values)


def lasting(settings: RunSettings) -> RunSettings:
    """Settings that mean the same from any folder: data, ``init`` and tokenizer by their absolute paths."""
    paths = {name: getattr(settings, name) for name in ("init", "init_from", "tokenizer")}
    absolute: dict[str, Any] = {name: absolute_spec(text) for name, text in paths.items() if text is not None}
    return dataclasses.replace(settings, data=tuple(map(absolute_spec, settings.data)), **absolute)


def with_changes(record: dict[str, Any], settings: RunSettings, command: str | None) -> dict[str, Any]:
    """A record of a run that goes on with other settings, which are stored under ``changed``."""
    if not (changed := _changes(record, settings)):
        return record
    earlier = record.get("changed", [])
    entry = {"command": command, "settings": changed}
    return record | {"settings": lasting(settings).to_dict(), "changed": [*earlier, entry]}


def with_data(record: dict[str, Any], data: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """A record of a run with what it says of its data, which has to be the data that the run began with.

    Raises:
        ValueError: The rows are others.
    """
    if record.get("data", {}).get("fingerprint") not in (None, data["fingerprint"]):
        remedy = f"bring back what it was, or begin another run from it: --init {pasted(out)}"
        raise ValueError(f"the data changed since the run in {out} began: {remedy}")
    return record | {"data": dict(data)}


def check_same_training(record: Mapping[str, Any], settings: RunSettings, remedy: str) -> None:
    """Check that settings have the rate and the length with which a finished training was done.

    Raises:
        ValueError: They have not; ends with what to begin instead.
    """
    if changed := _changes(record, settings).keys() & {"minutes", "steps1", "steps2", "recipe1.lr", "recipe2.lr"}:
        what = "rate (--lr)" if all(name.endswith(".lr") for name in changed) else "length (--minutes or steps)"
        raise ValueError(f"the training is finished, another {what} changes nothing: leave it out, or begin {remedy}")


def _changes(record: Mapping[str, Any], settings: RunSettings) -> dict[str, Any]:
    """Settings by dotted name that are not those of a record, with both values."""
    old, new = dict(_flat(record["settings"])), dict(_flat(lasting(settings).to_dict()))
    return {name: {"from": old[name], "to": new[name]} for name in new if name in old and old[name] != new[name]}


def _flat(settings: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name, as JSON holds them."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{where}{name}.")
        else:
            yield f"{where}{name}", json.loads(json.dumps(value))
