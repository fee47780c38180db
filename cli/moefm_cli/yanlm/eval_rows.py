"""The option ``--eval-rows``, and scores with their intervals as tables show them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from moefm_cli.common import UsageError

ALL = "all"


def _rows(text: str | None) -> str | None:
    """The text, if it is a number of rows or ``all``."""
    if text is None or text == ALL or (text.isdecimal() and int(text)):
        return text
    raise UsageError(f"--eval-rows must be a positive number or all, got {text!r}")


EvalRows = Annotated[
    str | None,
    typer.Option(
        callback=_rows,
        metavar="N|all",
        help="Held-out rows to evaluate at the end. Default: as many as a quarter of the training time allows.",
    ),
]


def rows_setting(text: str | None) -> int | str | None:
    """The setting ``eval_rows`` that the option stands for.

    Example:
        >>> rows_setting("40"), rows_setting("all"), rows_setting(None)
        (40, 'all', None)
    """
    return int(text) if text is not None and text != ALL else text


def score_cell(scores: dict[str, Any], name: str) -> str:
    """A score with half of its 95% interval, where it has one.

    Example:
        >>> score_cell({"f1": 0.5, "f1_ci95": [0.4, 0.6]}, "f1")
        '0.500 ±.10'
    """
    if name not in scores:
        return ""
    ends = scores.get(f"{name}_ci95")
    half = f" ±{(ends[1] - ends[0]) / 2:.2f}".replace("±0.", "±.") if ends else ""
    return f"{scores[name]:.3f}{half}"
