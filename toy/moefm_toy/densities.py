"""Densities in one dimension: the data's histogram, the samples' kernel estimate and the share of every expert."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from moefm_toy.datasets import Dataset
from moefm_toy.experiment import MethodRun, SeedRun
from moefm_toy.headings import head
from moefm_toy.palette import DATA, TITLES, colours_of, expert_colours
from moefm_toy.units import columns_of

POINTS = 240
SHOWN_TRAJECTORIES = 80


def bandwidth(data: Tensor) -> float:
    """Half the width of Silverman's rule, ``.45 min(std, IQR / 1.34) n^(-1/5)``, at least .01: modes stay apart.

    Example:
        >>> round(bandwidth(torch.linspace(-1, 1, 32)), 3)
        0.136
    """
    spread = data.double().quantile(torch.tensor([0.25, 0.75]).double())
    scale = min(float(data.std()), float(spread[1] - spread[0]) / 1.34) or float(data.std())
    return max(0.01, 0.45 * scale * len(data) ** -0.2)


def density(points: Tensor, grid: Tensor, width: float) -> Tensor:
    """Mean of normal densities of one width at the points ``(n,)``, on a grid ``(m,)``.

    Example:
        >>> grid = torch.linspace(-5, 5, 1001)
        >>> float(density(torch.tensor([-1.0, 1.0]), grid, 0.5).sum() * 0.01)
        1.0...
    """
    z = (grid[:, None] - points) / width
    return (-0.5 * z.square()).exp().mean(1) / (width * (2 * torch.pi) ** 0.5)


def draw_densities(ax: Axes, data: Tensor, samples: Tensor, assignment: Tensor | None, experts: int) -> None:
    """Draw a grey histogram of the data, the density of all samples, and below it that of each expert.

    Args:
        ax: Axes to draw on; their limits along x are set already.
        data: Coordinates ``(n,)``.
        samples: Coordinates ``(m,)``.
        assignment: Expert of every sample ``(m,)``, or ``None``.
        experts: K.
    """
    low, high = ax.get_xlim()
    bins = int(min(30, max(8, 1.5 * len(data) ** 0.5)))
    heights, edges = np.histogram(data.numpy(), bins=bins, range=(low, high), density=True)
    ax.stairs(heights, edges, fill=True, color=DATA)
    grid, width = torch.linspace(low, high, POINTS), bandwidth(data)
    colours = expert_colours(experts).numpy()
    for k in range(experts) if assignment is not None else ():
        own = samples[assignment == k]
        if len(own):
            curve = (density(own, grid, width) * len(own) / len(samples)).numpy()
            ax.fill_between(grid.numpy(), curve, color=colours[k], alpha=0.45, linewidth=0)
            ax.plot(grid.numpy(), curve, color=colours[k], linewidth=1)
    total = density(samples, grid, width).numpy()
    ax.plot(grid.numpy(), total, color="black", linewidth=1.1)
    tallest = min(float(total.max()), 3 * float(heights.max()))  # samples in one place must not flatten the data
    ax.set_ylim(0, 1.08 * max(tallest, float(heights.max())))
    ax.set_yticks([])


def density_figure(run: SeedRun, dataset: Dataset) -> Figure:
    """For points on a line: a row per step count, a column per method, trajectories over time in the last row."""
    (column,) = columns_of(dataset)
    data = run.data[:, 0]
    reach = 0.15 * float(data.max() - data.min())
    limits = float(data.min()) - reach, float(data.max()) + reach
    steps = list(next(iter(run.methods.values())).samples)
    heights = [1.5] * len(steps) + [2.4]
    figure = Figure(figsize=(3.3 * len(run.methods) + 0.6, sum(heights) + 1.2), layout="constrained")
    floor = f"noise floor of W2 {run.floor:.3f}"
    head(figure, f"{dataset.name}: data grey; samples black, by expert in colours; {floor}")
    axes = figure.subplots(len(heights), len(run.methods), squeeze=False, height_ratios=heights)
    for place, (name, method) in enumerate(run.methods.items()):
        for row, count in enumerate(steps):
            ax, drawn = axes[row][place], method.samples[count]
            ax.set_xlim(*limits)
            draw_densities(ax, data, drawn.z1[:, 0], drawn.assignment, method.field.num_experts)
            title = f"{TITLES[name]}\n" if row == 0 else ""
            ax.set_title(f"{title}W2 {method.metrics['by_steps'][str(count)]['w2']:.3f}", fontsize=10)
            column.label(ax, "x")
            if row < len(steps) - 1:
                ax.set_xlabel("")
            if place == 0:
                ax.set_ylabel(f"{count} step{'s' * (count > 1)}\ndensity", fontsize=9)
        _trajectories(axes[-1][place], method)
        column.label(axes[-1][place], "x")
        if place == 0:
            axes[-1][0].set_ylabel("trajectories\ntime, from noise to data", fontsize=9)
    return figure


def _trajectories(ax: Axes, method: MethodRun) -> None:
    """Paths from noise at the bottom to samples at the top."""
    fine = method.fine
    assert fine.trajectory is not None
    paths = fine.trajectory[:, :SHOWN_TRAJECTORIES, 0].T
    times = torch.broadcast_to(fine.times, paths.shape)
    lines: Any = torch.stack([paths, times.to(paths)], -1).numpy()
    assignment = None if fine.assignment is None else fine.assignment[:SHOWN_TRAJECTORIES]
    colours = colours_of(method, assignment)
    ax.add_collection(LineCollection(list(lines), colors=colours, linewidths=0.9, alpha=0.8))
    ax.set_xlim(1.05 * float(paths.min()), 1.05 * float(paths.max()))
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 1])
    ax.set_title(f"straightness {method.metrics['straightness']:.3f} (0 is straight)", fontsize=10)
