"""The page of agreement: rows of a table by what was run, and a mark for every model."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg

from yanlm.studies.tools.agreement_page import agreement_figure, score_table, summary_of


def scores(valid: float) -> dict[str, float]:
    return {"valid": valid, "people": 2.0, "entropy": 1.5, "other": 9.0}


SUMMARY: dict[str, Any] = {
    "by_model": summary_of(
        {
            "K = 1": [{"1": scores(0.5), "reread 2": scores(0.9)}, {"1": scores(0.7), "reread 2": scores(0.8)}],
            "gpt2": [{"token by token": scores(0.6), "most probable": scores(0.4)}],
        }
    ),
    "data": {"valid": 1.0, "people": 3.0, "entropy": 2.0},
}


def test_a_summary_holds_the_scores_of_all_seeds() -> None:
    assert SUMMARY["by_model"]["K = 1"]["1"] == {"valid": [0.5, 0.7], "people": [2.0, 2.0], "entropy": [1.5, 1.5]}
    assert list(SUMMARY["by_model"]["gpt2"]) == ["token by token", "most probable"]


def test_the_table_has_rows_for_what_was_reread_and_empty_cells_for_what_was_not_run() -> None:
    assert score_table(SUMMARY, "valid", [1, 2]).splitlines() == [
        "| | T = 1 | T = 2 | token by token | most probable |",
        "|---|---|---|---|---|",
        "| K = 1 | 0.600 (0.500-0.700) | | | |",
        "| K = 1, reread | | 0.850 (0.800-0.900) | | |",
        "| gpt2 | | | 0.600 | 0.400 |",
        "| the data | 1.000 | | | |",
    ]


def test_the_figure_has_a_mark_for_every_model_and_a_hollow_one_for_the_most_probable() -> None:
    figure = agreement_figure(SUMMARY)
    [ax] = figure.axes
    marks = [(line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor() == "none") for line in ax.lines]
    assert marks == [(1.5, 0.6, False), (1.5, 0.6, False), (1.5, 0.4, True), (2.0, 1.0, False)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["K = 1", "gpt2", "the data"]
    FigureCanvasAgg(figure).draw()
