"""Where a flow whose denoiser is the encoder decides: the curve of its loss over time, and the grids that follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moefm import InformationTime
from yanlm.figures import COLOURS, WIDTH
from yanlm.nn.denoiser import LAST

GRIDS = (2, 4, 8)
"""Numbers of steps whose times are reported."""

_SHOWN = 4  # steps whose grid is drawn


def information_numbers(time: InformationTime, steps: Sequence[int] = GRIDS) -> dict[str, Any]:
    """What a time has measured, as JSON holds it.

    Args:
        time: Time of a model: ``model.denoiser.information``.
        steps: Numbers of steps T.

    Returns:
        ``times`` (middles of the bins in which a loss was measured), ``errors`` (the mean loss there, in nats a slot)
        and ``grid``: by T the T + 1 times of a sampler. Without a measurement both lists are empty, and the grids are
        uniform.

    Example:
        >>> time = InformationTime(4).fit_from(torch.tensor([0.125, 0.375, 0.625, 0.875]), torch.tensor([4.0, 1, 0, 0]))
        >>> numbers = information_numbers(time, [2])
        >>> numbers["errors"], numbers["grid"]
        ([4.0, 1.0, 0.0, 0.0], {'2': [0.0, 0.451613, 1.0]})
    """
    measured = time.counts > 0
    return {
        "times": _rounded(time.centers[measured]),
        "errors": _rounded(time.errors[measured]),
        "grid": {str(count): _rounded(time.grid(count, last=LAST)) for count in steps},
    }


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


def information_lines(numbers: dict[str, Any]) -> list[str]:
    """The grids of :func:`information_numbers` in words, a line for each.

    Example:
        >>> information_lines({"times": [], "errors": [], "grid": {"2": [0.0, 0.5, 1.0]}})
        ['times of 2 steps             0 0.5 1']
    """
    return [
        f"{f'times of {count} steps':<28} {' '.join(f'{t:.3g}' for t in times)}"
        for count, times in numbers["grid"].items()
    ]


def information_figure(time: InformationTime, name: str = "") -> Figure:
    """The loss against time, and F, the share of it that is gone; the times of four steps are marked on both.

    Args:
        time: Time of a model.
        name: What it is called.
    """
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    curve, share = figure.subplots(1, 2)
    numbers = information_numbers(time, [_SHOWN])
    grid = numbers["grid"][str(_SHOWN)]
    if numbers["times"]:
        curve.plot(numbers["times"], numbers["errors"], "o-", color=COLOURS[0], linewidth=1.5, markersize=3)
    else:
        said = "nothing was measured: times are uniform"
        curve.text(0.5, 0.5, said, ha="center", va="center", color="#777777", transform=curve.transAxes)
    curve.set_title("loss of a slot, in nats", fontsize=11)
    t = torch.linspace(0, 1, 401, device=time.errors.device)
    share.plot(t.tolist(), time.cdf(t).tolist(), color=COLOURS[1], linewidth=1.5)
    share.plot([0, 1], [0, 1], color="#777777", linestyle=":", linewidth=1.2)
    share.set_title("F, the share that is decided", fontsize=11)
    for number, at in enumerate(grid):
        share.plot([0, at, at], [number / _SHOWN, number / _SHOWN, 0], color="#999999", linewidth=0.8)
    for ax in (curve, share):
        _with_grid(ax, grid)
    if name:
        figure.suptitle(name, fontsize=11)
    return figure


def _with_grid(ax: Axes, grid: Sequence[float]) -> None:
    """Ticks at the times of a grid, above those of the axis."""
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(f"time t; marks: the grid of {len(grid) - 1} steps")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    for at in grid:
        ax.axvline(at, 0, 0.06, color="black", linewidth=1.6)
    ax.grid(alpha=0.25)
