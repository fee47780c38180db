"""Settings of built-in tasks, as written in a spec: ``vocabulary=64,groups=4``."""

from __future__ import annotations

import math
from dataclasses import Field, field, fields
from typing import Any

from yanlm.data.rows import DataError

SHARE = "0 to 1"
"""Accepted values of a share: any number from 0 to 1."""

Accepted = range | tuple[int, ...] | str


def setting(default: Any, accepted: Accepted) -> Any:
    """A field of a task: its default, and a range or list of integers, or ``SHARE``."""
    return field(default=default, metadata={"accepted": accepted})


def in_order(task: Any) -> list[Field[Any]]:
    """The settings of a task; the one that all tasks share comes last."""
    return sorted(fields(task), key=lambda item: item.name == "train")


def check_settings(task: Any) -> None:
    """Checks the settings of a task.

    Raises:
        DataError: One is not accepted.
    """
    for item in fields(task):
        value, accepted = getattr(task, item.name), item.metadata["accepted"]
        if accepted == SHARE:
            good = isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1
        else:
            good = isinstance(value, int) and value in accepted
        if not good or isinstance(value, bool):
            raise DataError(f"builtin:{task.name}: {item.name} must be {_in_words(accepted)}, got {value!r}")


def read_settings(task: type[Any], text: str) -> dict[str, Any]:
    """Settings as written behind the name of a task.

    Raises:
        DataError: One is unknown, given twice, or no number; the line names the accepted ones.

    Example:
        >>> from yanlm.data.builtin.codes import Codes
        >>> read_settings(Codes, "vocabulary=64,groups=4")
        {'vocabulary': 64, 'groups': 4}
    """
    known = {item.name: item for item in in_order(task)}
    spec = f"builtin:{task.name}:{text}"
    takes = f"builtin:{task.name} takes {', '.join(f'{name} ({_range(item)})' for name, item in known.items())}"
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, written = (piece.strip() for piece in part.partition("="))
        if name not in known or not equals:
            raise DataError(f"{spec}: '{part}' is no setting; {takes}, written NAME=NUMBER and divided by commas")
        if name in values:
            raise DataError(f"{spec}: {name} is given twice; {takes}")
        try:
            values[name] = (float if known[name].metadata["accepted"] == SHARE else int)(written)
        except ValueError:
            raise DataError(f"{spec}: {name} must be {_range(known[name])}, got '{written}'; {takes}") from None
    return values


def _range(item: Field[Any]) -> str:
    return _in_words(item.metadata["accepted"])


def _in_words(accepted: Accepted) -> str:
    if isinstance(accepted, range):
        step = f" in steps of {accepted.step}" if accepted.step > 1 else ""
        return f"{accepted[0]} to {accepted[-1]}{step}"
    return accepted if isinstance(accepted, str) else " or ".join(map(str, accepted))
