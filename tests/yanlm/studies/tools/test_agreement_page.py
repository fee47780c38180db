"""The page of agreement: medians and ranges, rows of tables, and curves."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg

from yanlm.studies.tools.agreement_page import (
    agreement_document,
    agreement_figure,
    joined,
    score_table,
    training_figure,
    training_table,
)


def scores(valid: float, nfe: int) -> dict[str, float]:
    return {"valid": valid, "entropy": 0.5, "nfe": nfe}


METHODS = joined(
    {
        "flow": [{"1": scores(0.5, 1), "4": scores(0.9, 2)}, {"1": scores(0.7, 1), "4": scores(0.8, 2)}],
        "autoregressive": [{"9": scores(0.6, 9)}],
    }
)
RUN: dict[str, Any] = {"parameters": 1234, "steps": [4, 6], "seconds": 90.0, "loss": [[0, 3.0], [1, 1.0]]}
TRAINING: dict[str, Any] = {
    "flow": [{**RUN, "valid": [[0, 0.1], [1.5, 0.9]]}, {**RUN, "valid": [], "steps": [6, 8]}],
    "autoregressive": [{**RUN, "valid": [], "steps": [30]}],
}


def test_the_document_holds_medians_ranges_and_what_was_trained() -> None:
    document = agreement_document("codes", "builtin:codes:groups=4", 0.001, METHODS, TRAINING)
    assert {name: document[name] for name in ("task", "spec", "bound")} == {
        "task": "codes",
        "spec": "builtin:codes:groups=4",
        "bound": 0.001,
    }
    assert document["methods"]["flow"]["1"] == {"valid": 0.6, "entropy": 0.5, "nfe": 1}
    assert document["methods"]["autoregressive"] == {"9": {"valid": 0.6, "entropy": 0.5, "nfe": 9}}
    assert document["ranges"]["flow"]["4"]["valid"] == [0.8, 0.9]
    assert document["training"]["flow"] == {"parameters": [1234] * 2, "steps": [[4, 6], [6, 8]], "seconds": [90.0] * 2}


def test_tables_have_a_column_for_what_has_no_steps_where_there_is_such_a_method() -> None:
    assert score_table(METHODS, "valid", [1, 4]).splitlines() == [
        "| | T = 1 | T = 4 | token by token |",
        "|---|---|---|---|",
        "| flow | 0.600 (0.500-0.700) | 0.850 (0.800-0.900) | |",
        "| autoregressive | | | 0.600 (9 passes) |",
    ]
    assert score_table({"flow": METHODS["flow"]}, "entropy", [1, 4]).splitlines()[::2] == [
        "| | T = 1 | T = 4 |",
        "| flow | 0.500 (0.500-0.500) | 0.500 (0.500-0.500) |",
    ]
    assert training_table(TRAINING).splitlines()[2:] == [
        "| flow | 1,234 | 5 + 7 | 1.5 (1.5-1.5) |",
        "| autoregressive | 1,234 | 30 | 1.5 |",
    ]


def test_the_figure_has_validity_by_passes_and_a_line_at_the_bound() -> None:
    figure = agreement_figure(METHODS, 0.3)
    [ax] = figure.axes
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert lines["flow"] == ([1, 2], [0.6, 0.8500000000000001]) and lines["autoregressive"] == ([9], [0.6])
    assert set(lines["written independently"][1]) == {0.3} and ax.get_xscale() == "log"
    FigureCanvasAgg(figure).draw()


def test_trainings_are_curves_in_the_colours_of_the_other_figure() -> None:
    figure = training_figure(TRAINING, 4, ["one pass", "flow", "autoregressive"])
    right, loss = figure.axes
    assert [line.get_label() for line in right.lines] == ["flow"] and "T = 4" in right.get_ylabel()
    assert [line.get_label() for line in loss.lines] == ["flow", "autoregressive"]
    other = agreement_figure({"one pass": METHODS["flow"], **METHODS}, 0.3)
    colours = [line.get_color() for line in other.axes[0].lines]
    assert loss.lines[0].get_color() == right.lines[0].get_color() == colours[1] != colours[0]
    FigureCanvasAgg(figure).draw()
