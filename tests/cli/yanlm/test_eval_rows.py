"""The option --eval-rows, and what it sets."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from moefm_cli.common import UsageError
from moefm_cli.yanlm.eval_rows import EvalRows, rows_setting, score_cell


@pytest.mark.parametrize(("typed", "rows"), [([], None), (["--eval-rows", "40"], 40), (["--eval-rows", "all"], "all")])
def test_what_it_sets(typed: list[str], rows: int | str | None) -> None:
    heard: list[int | str | None] = []
    app = typer.Typer()

    @app.command()
    def command(eval_rows: EvalRows = None) -> None:
        heard.append(rows_setting(eval_rows))

    result = CliRunner().invoke(app, typed)
    assert result.exit_code == 0 and heard == [rows], result.output


@pytest.mark.parametrize("text", ["0", "-3", "some", "1.5", "²"])
def test_what_is_no_number_of_rows(text: str) -> None:
    app = typer.Typer()
    app.command()(lambda: None)

    @app.command()
    def command(eval_rows: EvalRows = None) -> None:
        """Nothing."""

    result = CliRunner().invoke(app, ["command", "--eval-rows", text])
    assert isinstance(result.exception, UsageError) and "positive number or all" in str(result.exception)


def test_scores_with_and_without_an_interval() -> None:
    assert score_cell({"f1": 0.25}, "f1") == "0.250" and score_cell({}, "f1") == ""
    assert score_cell({"f1": 0.25, "f1_ci95": [0.0, 1.0]}, "f1") == "0.250 ±.50"
