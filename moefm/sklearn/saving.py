"""A fitted flow as a folder: the field with its columns, settings and a model card. No pickle is ever read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moefm.fields import MLPMixtureField
from moefm.io import load_field, save_field
from moefm.sklearn.columns import Category, Column, Constant
from moefm.sklearn.conditions import Conditions
from moefm.sklearn.coordinates import Coordinates

FORMAT = 1


def save_parts(
    folder: str | Path,
    field: MLPMixtureField,
    coordinates: Coordinates,
    conditions: Conditions | None,
    settings: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Write the parts of a fitted flow, and a card ``README.md`` that says in words what they are.

    Args:
        folder: Created if it does not exist.
        field: The trained field.
        coordinates: The columns.
        conditions: Conditions of the rows, or ``None``.
        settings: Parameters of the estimator.
        facts: What the training measured.
    """
    table = {
        "format": FORMAT,
        "coordinates": coordinates.config,
        "conditions": None if conditions is None else conditions.config,
        "settings": {k: v.item() if isinstance(v, np.generic) else v for k, v in settings.items()},
        "facts": facts,
    }
    save_field(field, folder, table=table)
    card = _card(field, coordinates, conditions, facts)
    (Path(folder) / "README.md").write_text(card, encoding="utf-8")


def load_parts(
    folder: str | Path, settings: Sequence[str]
) -> tuple[MLPMixtureField, Coordinates, Conditions | None, dict[str, Any]]:
    """The field, coordinates, conditions and the dictionary that :func:`save_parts` wrote.

    Args:
        folder: Where they are.
        settings: Parameters of the estimator, among which those in the folder must be.

    Raises:
        ValueError: The folder holds no fitted flow, or one of another format.
    """
    field = load_field(folder)
    try:
        if not isinstance(field, MLPMixtureField):
            raise ValueError(f"a {type(field).__name__}")
        table = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["extra"]["table"]
        if table["format"] != FORMAT:
            raise ValueError(f"format {table['format']!r}, of another version of moefm, which reads {FORMAT}")
        unknown, _ = sorted(set(table["settings"]) - set(settings)), table["facts"]
        if unknown:
            raise ValueError(f"the setting {unknown[0]!r}, of another version of moefm")
        given = table["conditions"]
        conditions = None if given is None else Conditions.from_config(given)
        return field, Coordinates.from_config(table["coordinates"]), conditions, table
    except (KeyError, TypeError, ValueError) as error:
        reason = f"without {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"folder must hold a flow written by MoEFlow.save, got {str(folder)!r}: {reason}") from None


def _card(
    field: MLPMixtureField, coordinates: Coordinates, conditions: Conditions | None, facts: dict[str, Any]
) -> str:
    named = zip(coordinates.form.names, coordinates.columns, strict=True)
    size = f"{field.num_experts} experts, trained on {facts['rows']} rows with moefm."
    lines = ["# A flow for a table", "", size, ""]
    lines += ["| column | kind | what is known of it |", "|---|---|---|"]
    lines += [f"| {name} | {column.kind} | {_described(column)} |" for name, column in named]
    if conditions is not None:
        lines += ["", f"Rows are given: {', '.join(conditions.names)}."]
    use = ["from moefm.sklearn import MoEFlow", "", 'flow = MoEFlow.load("this folder")', "rows = flow.sample(1000)"]
    return "\n".join([*lines, "", "```python", *use, "```", ""])


def _described(column: Column) -> str:
    if isinstance(column, Constant):
        return f"always {column.value}"
    if isinstance(column, Category):
        shown = [f"{level} {share:.1%}" for level, share in zip(column.levels[:8], column.shares, strict=False)]
        return ", ".join(shown) + (", ..." if len(column.levels) > 8 else "")
    return f"mean {column.mean:.4g}, standard deviation {column.std:.4g}"
