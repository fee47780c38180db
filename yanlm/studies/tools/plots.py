"""Curves and clouds of the studies, in colours that colour-blind readers tell apart, each with its own marker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from yanlm.figures import WIDTH, printed

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, without the yellow."""
MARKERS = "osD^vPX*"
REFERENCE = "#777777"


@dataclass(frozen=True)
class Curve:
    """Points of one curve.

    Attributes:
        x: Where they are.
        y: What was measured: the median, if there are several.
        low: Lower end of the range, or empty.
        high: Upper end of it.
        dashed: Draw it dashed, for methods without steps and the like.
        colour: Its own colour, if not that of its place.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = field(default=())
    high: Sequence[float] = field(default=())
    dashed: bool = False
    colour: str | None = None


def style(number: int) -> tuple[str, str]:
    """Colour and marker of the curve of that number.

    Example:
        >>> style(0), style(7)[0] == style(0)[0]
        (('#0072b2', 'o'), True)
    """
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]


def draw(ax: Axes, curves: Mapping[str, Curve], *, log: str = "", styles: Sequence[str] = ()) -> None:
    """Draw curves; one of a single point that is dashed becomes a horizontal line.

    Args:
        ax: Where.
        curves: By label.
        log: Logarithmic axes: ``x``, ``y``, both or none. The ticks of x are the points.
        styles: Labels in the order of the colours, if several panels share them.
    """
    order = list(styles) or list(curves)
    for label, curve in curves.items():
        colour, marker = style(order.index(label))
        colour, shown = curve.colour or colour, printed(label)
        if curve.dashed and len(curve.x) <= 1:
            ax.axhline(curve.y[0], color=colour, linestyle="--", linewidth=1.4, label=shown)
            if curve.low and curve.high[0] > curve.low[0]:
                ax.axhspan(curve.low[0], curve.high[0], color=colour, alpha=0.08, linewidth=0)
            continue
        line = "--" if curve.dashed else "-"
        ax.plot(curve.x, curve.y, line, marker=marker, color=colour, linewidth=1.6, markersize=5, label=shown)
        if curve.low and any(high > low for low, high in zip(curve.low, curve.high, strict=True)):
            ax.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    ticks = sorted({x for curve in curves.values() if not (curve.dashed and len(curve.x) <= 1) for x in curve.x})
    if "x" in log and ticks:
        ax.set_xscale("log")
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    if "y" in log:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter("{x:g}")
    ax.tick_params(labelsize=9)
    ax.grid(alpha=0.25)


def panels(count: int, *, height: float = 3.6, most: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows of at most ``most``; a single one is narrower.

    Example:
        >>> figure, axes = panels(3)
        >>> len(axes)
        3
    """
    columns = min(count, most)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH if columns > 1 else 0.72 * WIDTH, rows * height + 0.6), layout="constrained")
    axes: list[Axes] = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes[count:]:
        ax.axis("off")
    return figure, axes[:count]


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 4) -> None:
    """One legend for all panels, below them, where it covers nothing."""
    known: dict[str, Artist] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    if known:
        figure.legend(
            list(known.values()), list(known), loc="outside lower center", ncols=min(columns, len(known)), fontsize=9,
            frameon=False,
        )  # fmt: skip


def key(figure: Figure, entries: Sequence[tuple[str, str, str, float]], columns: int = 6) -> None:
    """A legend of label, marker, colour and size for clouds that are read by several of them at once."""
    from matplotlib.lines import Line2D

    dots = [
        Line2D([], [], color=colour, marker=marker, markersize=size, linestyle="", label=printed(label))
        for label, marker, colour, size in entries
    ]
    figure.legend(
        handles=dots, loc="outside lower center", ncols=min(columns, len(dots)), fontsize=9, frameon=False,
        handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
