"""Time against length as a figure: every model's curve, and the same as a ratio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from yanlm.figures import printed
from yanlm.studies.tools.study import Json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def time_figure(runs: Mapping[str, Json], base: str | None, what: str = "a generation") -> Figure:
    """Seconds against length, and the same as a ratio to ``base``; all axes are logarithmic.

    Args:
        runs: By label and length, ``seconds``, their ``median`` and the ``ratio``.
        base: What ratios are to; without it there are none.
        what: What the seconds measure.
    """
    from yanlm.studies.tools.plots import REFERENCE as GREY
    from yanlm.studies.tools.plots import Curve, draw, legend, panels

    figure, axes = panels(2 if base else 1, height=4.2)
    by_length = {label: sorted((int(n), run) for n, run in at.items()) for label, at in runs.items()}
    curves = {
        label: Curve(
            [n for n, _ in at], [run["median"] for _, run in at],
            [min(run["seconds"]) for _, run in at], [max(run["seconds"]) for _, run in at],
        )
        for label, at in by_length.items()
    }  # fmt: skip
    draw(axes[0], curves, log="xy")
    axes[0].set_ylabel(f"seconds of {what}")
    if base:
        points = {label: [(n, run["ratio"]) for n, run in at if run["ratio"]] for label, at in by_length.items()}
        ratios = {label: Curve([n for n, _ in at], [ratio for _, ratio in at]) for label, at in points.items() if at}
        draw(axes[1], ratios, log="xy", styles=list(curves))
        axes[1].axhline(1, color=GREY, linewidth=0.8, zorder=0)
        axes[1].set_ylabel(printed(f"times {base}"))
    for ax in axes:
        ax.set_xlabel("tokens L")
    legend(figure, axes)
    return figure
