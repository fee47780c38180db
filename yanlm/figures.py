"""Curves of a training. Returns a matplotlib Figure; nothing is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Record = Mapping[str, Any]
WIDTH = 10.0  # inches: 1200 pixels at 120 dpi
COLOURS = ("#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#d62728", "#17becf", "#bcbd22", "#e377c2", "#8c564b")
PARTS = {
    "loss": "total",
    "ce": "cross-entropy",
    "slot_ce": "cross-entropy, masked",
    "mmd": "MMD²",
    "scale": "mean square",
    "flow": "flow",
    "gate": "gate",
    "mixture": "likelihood of the text",
    "length": "length",
    "plain": "cross-entropy, plain masks",
    "denoise": "likelihood, noisy masks",
    "distill": "distance from the teacher",
}
"""What the parts of a loss are called in a legend; others keep their own name."""

_LONG = 100  # records from which curves are smoothed


@cache
def _known() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def printed(text: str) -> str:
    """Text that matplotlib prints as it is: no formulas, and letters that its font lacks as numbers.

    A legend leaves out labels that begin with an underscore, unless a space is before it.

    Example:
        >>> printed("cost_$x$"), printed("_own")
        ('cost_\\\\$x\\\\$', ' _own')
    """
    shown = "".join(c if ord(c) in _known() else ascii(c)[1:-1] for c in text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def loss_figure(logs: Mapping[int, Sequence[Record]], name: str | None = None) -> Figure:
    """Parts of the loss over the steps, a panel for each stage; the legend says where they ended.

    Args:
        logs: Lines of ``log.jsonl``, by stage.
        name: What was trained, unless it is the two stages of a flow.
    """
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    for ax, (stage, records) in zip(
        figure.subplots(1, max(1, len(logs)), squeeze=False)[0], sorted(logs.items()), strict=False
    ):
        _losses(ax, records)
        named = {1: "autoencoder", 2: "latent flow"}.get(stage)
        ax.set_title(name or (f"stage {stage}: {named}" if named else f"stage {stage}"), fontsize=11)
    return figure


def _losses(ax: Axes, records: Sequence[Record]) -> None:
    ax.set_xlabel("step")
    if not records:
        ax.text(0.5, 0.5, "nothing logged", ha="center", va="center", color="#777777", transform=ax.transAxes)
        return
    steps = np.array([record["step"] for record in records])
    names = list(dict.fromkeys(name for record in records for name in record["parts"]))
    curves = {"loss": np.array([record["loss"] for record in records], dtype=float)}
    if len(names) > 1:
        curves |= {name: np.array([record["parts"].get(name, np.nan) for record in records]) for name in names}
    if _spreads(curves.values()):
        ax.set_yscale("log", nonpositive="mask")
        ax.yaxis.set_major_formatter("{x:g}")
    for name, values in curves.items():
        colour = "black" if name == "loss" else COLOURS[names.index(name) % len(COLOURS)]
        smooth = smoothed(values)
        if len(values) >= _LONG:
            ax.plot(steps, values, color=colour, linewidth=0.6, alpha=0.25)
        end = values[-max(1, len(values) // 20) :]
        end = end[np.isfinite(end)]
        label = PARTS.get(name, name.replace("_", " ")) + (f"  {end.mean():.3g}" if len(end) else "")
        marker = "o" if len(values) == 1 else ""
        ax.plot(steps, smooth, color=colour, linewidth=1.8 if name == "loss" else 1.3, marker=marker, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.grid(alpha=0.25)
    # Below the curves, where it covers none of them.
    ax.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)


def _spreads(curves: Any) -> bool:
    """Whether a logarithmic axis helps: nearly all values are positive and they span more than a factor of 20."""
    values = np.concatenate(list(curves))
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if len(positive) < 2 or len(positive) < 0.9 * len(values):
        return False
    return bool(np.quantile(positive, 0.98) > 20 * np.quantile(positive, 0.02))


def smoothed(values: np.ndarray) -> np.ndarray:
    """Centred moving mean of a long curve over a fiftieth of it; near the end, and around gaps, over what is there.

    Example:
        >>> smoothed(np.array([3.0, 1.0]))  # short ones stay
        array([3., 1.])
    """
    half = len(values) // 100 if len(values) >= _LONG else 0
    there = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(there, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(there)])
    at = np.arange(len(values))
    # Near the start as wide to the right as to the left: losses fall fast there, and a wider mean would hide that.
    low, high = at - np.minimum(half, at), np.minimum(at + np.minimum(half, at) + 1, len(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums[high] - sums[low]) / (counts[high] - counts[low])
    return np.where(there, means, np.nan)
