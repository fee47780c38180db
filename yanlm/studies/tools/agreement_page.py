"""The page of the study of agreement: truth and variety of each model, as tables and a figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from yanlm.studies.tools.study import Json, markdown, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES = {"valid": "true", "people": "people named", "entropy": "entropy of the people"}
"""What :func:`yanlm.data.builtin.statements.judge` says, by what the page calls it."""
REREAD, DRAWN = "reread", "reread, drawn"
"""What keys of a flow that reads what it wrote begin with: the most probable words, and drawn ones."""


def summary_of(results: Mapping[str, Sequence[Json]]) -> Json:
    """Scores of all seeds, by model and number of steps."""
    return {
        name: {key: {score: [run[key][score] for run in runs] for score in SCORES} for key in runs[0]}
        for name, runs in results.items()
    }


def score_table(summary: Json, score: str, steps: Sequence[int]) -> str:
    """One score: a row a model, a column a number of steps."""
    columns = [str(count) for count in steps]
    more = ["token by token", "most probable"]
    head = ["", *(f"T = {count}" for count in columns), *more]
    rows = []
    for name, runs in summary["by_model"].items():
        rows.append([name, *(spread(runs[key][score]) if key in runs else "" for key in [*columns, *more])])
        for how in (REREAD, DRAWN):
            cells = [spread(runs[f"{how} {count}"][score]) if f"{how} {count}" in runs else "" for count in columns]
            rows += [[f"{name}, {how}", *cells, *[""] * len(more)]] if any(cells) else []
    rows.append(["the data", *([f"{summary['data'][score]:.3f}"] + [""] * (len(head) - 2))])
    return markdown(head, rows)


def agreement_figure(summary: Json) -> Figure:
    """Truth against variety, a point for each model: at one step, or token by token; hollow: the most probable."""
    from matplotlib.figure import Figure

    from yanlm.studies.tools.plots import style

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    ax = figure.subplots()
    for number, (name, runs) in enumerate(summary["by_model"].items()):
        colour, marker = style(number)
        key = next(key for key in ("1", "token by token", *runs) if key in runs)
        for what, face in ((key, colour), ("most probable", "none")):
            if what in runs:
                x, y = (statistics.median(runs[what][score]) for score in ("entropy", "valid"))
                label = name if what == key else None
                ax.plot([x], [y], marker, color=colour, markerfacecolor=face, markersize=8, label=label, linestyle="")
    data = summary["data"]
    ax.plot([data["entropy"]], [data["valid"]], "*", color="#000000", markersize=13, label="the data", linestyle="")
    ax.set_xlabel("entropy of the people named (1 = all alike)")
    ax.set_ylabel("true statements")
    ax.set_ylim(0, 1.05)
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
