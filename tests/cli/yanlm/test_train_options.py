"""The options of yanlm train: their groups, and what a shell offers behind them."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from moefm_cli.yanlm.app import app
from moefm_cli.yanlm.train_options import among
from yanlm.runs.settings import resolve

PARAMETERS: dict[str, Any] = {p.name: p for p in typer.main.get_command(app).commands["train"].params}  # type: ignore[attr-defined]
TABLES = {"backbone": "model", "denoiser": "model", "prediction": "model", "objective": "stage2", "ce": "stage2"}


def test_a_word_is_completed_by_the_values_that_begin_as_it_does() -> None:
    offer = among("paper", "consistent", "partial")
    assert [offer(""), offer("pa"), offer("x")] == [["paper", "consistent", "partial"], ["paper", "partial"], []]


def offered(name: str) -> list[str]:
    context = typer.Context(typer.main.get_command(app).commands["train"])  # type: ignore[attr-defined]
    return [item.value for item in PARAMETERS[name].shell_complete(context, "")]


@pytest.mark.parametrize("name", ["preset", "baseline", "stage", "precision", *TABLES])
def test_every_value_that_is_offered_is_taken(name: str) -> None:
    values = offered(name)
    assert len(values) > 1
    for value in values:
        number = {"stage": "2", "init": "somewhere"} if value == "2" else {}
        options: dict[str, Any] = {TABLES[name]: {name: value}} if name in TABLES else {name: value}
        resolve({"minutes": 1} | options | number)
    with pytest.raises(ValueError, match="must be"):
        resolve({"minutes": 1} | ({TABLES[name]: {name: "nothing"}} if name in TABLES else {name: "nothing"}))


def test_options_are_in_groups() -> None:
    groups = {p.rich_help_panel for p in PARAMETERS.values()} - {None}
    assert len(groups) == 6
    assert sum(p.rich_help_panel is None for p in PARAMETERS.values()) <= 6, "those that all commands have"
