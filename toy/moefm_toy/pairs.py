"""A pair plot: every column against every other, the samples of one method beside the data."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moefm_toy.datasets import Dataset
from moefm_toy.densities import draw_densities
from moefm_toy.experiment import SeedRun
from moefm_toy.headings import head
from moefm_toy.palette import DATA, TITLES, colours_of
from moefm_toy.units import columns_of

DIMS = range(3, 7)
"""Dimensions that a pair plot is drawn for."""
FEW_STEPS = 4


def shown_steps(run: SeedRun) -> int:
    """The largest of the run's step counts that is still small, or else the smallest."""
    steps = next(iter(run.methods.values())).samples
    return max((count for count in steps if count <= FEW_STEPS), default=min(steps))


def pairs_figure(run: SeedRun, dataset: Dataset, method: str) -> Figure:
    """Below the diagonal samples by expert on grey data, above it the data alone, on it their densities.

    Raises:
        ValueError: The data does not have 3 to 6 dimensions.
    """
    if dataset.dim not in DIMS:
        raise ValueError(f"a pair plot needs 3 to 6 dimensions, got {dataset.dim}")
    columns, data, count = columns_of(dataset), run.data, shown_steps(run)
    trained = run.methods[method]
    drawn = trained.samples[count]
    low, high = data.amin(0), data.amax(0)
    pad = 0.12 * (high - low).clamp_min(1e-3)
    limits = list(zip((low - pad).tolist(), (high + pad).tolist(), strict=True))
    colours = colours_of(trained, drawn.assignment)
    figure = Figure(figsize=(1.75 * dataset.dim + 0.6, 1.6 * dataset.dim + 0.8), layout="constrained")
    title = TITLES[method].replace("\n", " ")
    distance = f"W2 {trained.metrics['by_steps'][str(count)]['w2']:.3f}"
    steps = f"{count} step{'s' * (count > 1)}"
    guide = "diagonal and below: samples by expert on grey data; above: data alone"
    head(figure, f"{dataset.name}: {title}, {steps}, {distance} (noise floor {run.floor:.3f}); {guide}")
    axes = figure.subplots(dataset.dim, dataset.dim, squeeze=False)
    size = max(2.0, min(12.0, 2500 / len(data)))
    for i in range(dataset.dim):
        for j in range(dataset.dim):
            ax: Axes = axes[i][j]
            ax.set_xlim(*limits[j])
            ax.set_xticks([])
            if i == j:
                draw_densities(ax, data[:, j], drawn.z1[:, j], drawn.assignment, trained.field.num_experts)
            else:
                ax.set_ylim(*limits[i])
                ax.set_yticks([])
                ax.scatter(data[:, j], data[:, i], s=size, c=DATA if i > j else "#8a8a8a", linewidths=0)
            if i > j:
                ax.scatter(drawn.z1[:, j], drawn.z1[:, i], s=size, c=colours, linewidths=0, alpha=0.8)
            if i == dataset.dim - 1:
                columns[j].label(ax, "x")
            if j == 0 and i > 0:
                columns[i].label(ax, "y")
            for spine in ax.spines.values():
                spine.set_color("#cccccc")
    axes[0][0].set_ylabel("density", fontsize=9)
    return figure
