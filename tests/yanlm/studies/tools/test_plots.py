"""Curves and clouds of the studies: labels are text, whatever they are."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from yanlm.studies.diversity import diversity_figure
from yanlm.studies.tools.plots import Curve, draw, key, legend, panels
from yanlm.studies.tools.table_page import table_figure
from yanlm.studies.tools.time_figure import time_figure

ODD = ["$x_$", "_own", "plain"]


def labels(figure: object) -> list[str]:
    return [text.get_text().strip() for text in figure.legends[0].get_texts()]  # type: ignore[attr-defined]


def test_every_label_is_in_the_legend_as_it_is() -> None:
    figure, [ax] = panels(1)
    draw(ax, {label: Curve([1, 2], [0.1, 0.2], dashed=label == "_own") for label in ODD}, log="x")
    legend(figure, [ax])
    assert labels(figure) == [r"\$x_\$", "_own", "plain"]
    FigureCanvasAgg(figure).draw()
    figure, _ = panels(1)
    key(figure, [(label, "o", "#000000", 5.0) for label in ODD])
    assert labels(figure) == [r"\$x_\$", "_own", "plain"]
    FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize("label", ODD)
def test_figures_of_studies_take_any_label(label: str) -> None:
    times = {
        "8": {"median": 0.1, "seconds": [0.1], "ratio": 1.0},
        "16": {"median": 0.2, "seconds": [0.2], "ratio": 1.0},
    }
    point = {"model": label, "steps": None, "temperature": 1.0, "f1": [0.5], "distinct_2": [0.5]}
    columns = {"data": label, "columns": {"flow, T = 1": [0.1]}, "guesses": {"unigram": 0.2}}
    for figure in (
        time_figure({label: times}, label),
        diversity_figure({"metric": "f1", "called": "F1", "points": [point]}),
        table_figure({f"infill={label}": columns}),
    ):
        FigureCanvasAgg(figure).draw()
