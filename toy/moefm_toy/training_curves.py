"""The loss of every method against its training steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from moefm_toy.experiment import SeedRun, loss_of
from moefm_toy.palette import LINES, TITLES

LOSSES = {
    "vfm": "squared error of the velocity",
    "moefm": "negative log-likelihood (nats)",
    "consistent": "likelihood at t = 0 + squared errors",
}
SMOOTHED = 9
"""How many recorded points the curve averages, of about a hundred."""
LOG_RATIO = 4.0
"""A loss above 0 that falls by this factor is drawn on a log scale."""


def smoothed(values: Sequence[float] | NDArray[np.float64], window: int = SMOOTHED) -> list[float]:
    """Centred running means, over fewer values at the steep beginning and at the end.

    Example:
        >>> smoothed([0.0, 3.0, 6.0, 3.0], window=3)
        [0.0, 3.0, 4.0, 4.5]
    """
    reach = [min(window // 2, i) for i in range(len(values))]
    return [float(np.mean(values[i - r : i + r + 1])) for i, r in enumerate(reach)]


def losses_figure(run: SeedRun) -> Figure:
    """A panel for each method, since their losses cannot be compared: pale as recorded, and smoothed."""
    figure = Figure(figsize=(3.6 * len(run.methods) + 0.4, 3.0), layout="constrained")
    for ax, (name, method) in zip(
        figure.subplots(1, len(run.methods), squeeze=False)[0], run.methods.items(), strict=True
    ):
        steps, values = zip(*method.losses, strict=True) if method.losses else ((), ())
        falls_far = bool(values) and min(values) > 0 and max(values) / min(values) > LOG_RATIO
        curve = np.exp(smoothed(np.log(values))) if falls_far else smoothed(values)
        ax.plot(steps, values, color=LINES[name], alpha=0.3, linewidth=1)
        ax.plot(steps, curve, color=LINES[name], linewidth=1.8)
        if falls_far:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_title(TITLES[name], fontsize=10)
        ax.set_xlabel("training step")
        ax.set_ylabel(LOSSES[loss_of(name)], fontsize=8.5)
        ax.grid(alpha=0.25)
        ax.set_xlim(left=0)
    return figure
