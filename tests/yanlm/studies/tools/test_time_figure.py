"""Time against length, drawn."""

from __future__ import annotations

from yanlm.studies.tools.time_figure import time_figure

RUNS = {name: {n: {"seconds": [1.0, 2.0, 3.0], "median": 2.0, "ratio": 2.0} for n in ("4", "8")} for name in ("a", "b")}


def test_ratios_have_a_panel_where_there_is_a_base() -> None:
    figure = time_figure(RUNS, "a", "an optimizer step")
    assert [ax.get_ylabel() for ax in figure.axes] == ["seconds of an optimizer step", "times a"]
    assert list(figure.axes[0].lines[0].get_xdata()) == [4, 8]
    assert [ax.get_ylabel() for ax in time_figure(RUNS, None).axes] == ["seconds of a generation"]
