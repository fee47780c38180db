"""The figures of the toy experiment. Each function returns a matplotlib Figure; nothing is shown."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from moefm.losses import responsibilities
from moefm.paths import linear_path
from toy.experiment import MethodRun, SeedRun, generator
from toy.plane import Plane

TITLES = {"vfm": "VFM (one field)", "moefm": "MoE-FM (paper's loss)", "consistent": "MoE-FM (consistent loss)"}
LINES = {"vfm": "#555555", "moefm": "#d95f02", "consistent": "#1b6fb4"}
SHOWN_TRAJECTORIES = 80


def expert_colours(count: int) -> Tensor:
    """RGBA of every expert, ``(K, 4)``; neighbouring numbers differ clearly."""
    if count == 1:
        return torch.tensor([[0.17, 0.37, 0.60, 1.0]])
    if count <= 20:
        order = [*range(0, 20, 2), *range(1, 20, 2)]
        return torch.tensor([colormaps["tab20"](order[k]) for k in range(count)])
    return torch.tensor([colormaps["turbo"](k / (count - 1)) for k in range(count)])


def _colours_of(run: MethodRun, assignment: Tensor | None) -> Any:
    palette = expert_colours(run.field.num_experts)
    return palette[0].numpy() if assignment is None else palette[assignment].numpy()


def _bare(ax: Axes, plane: Plane) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_aspect("equal" if plane.dim > 1 else "auto")
    (x0, x1), (y0, y1) = plane.limits
    ax.set_xlim(x0, x1)
    ax.set_ylim(y0, y1)
    for spine in ax.spines.values():
        spine.set_color("#cccccc")


def _dot_size(count: int) -> float:
    return max(1.5, min(12.0, 5000 / count))


def samples_figure(run: SeedRun, title: str) -> Figure:
    """Like the paper's Fig. 2: a row per step count, a column per method, trajectories in the last row.

    Data is grey, samples are coloured by expert; each panel says its W2.
    """
    plane = Plane(run.data)
    steps = list(next(iter(run.methods.values())).samples)
    rows, columns = len(steps) + 1, len(run.methods)
    figure = Figure(figsize=(max(3.4 * columns, 5.0), 2.75 * rows + 0.8), layout="constrained")
    figure.suptitle(f"{title}: grey is data, colours are experts; W2 noise floor {run.floor:.3f}", fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False)
    ground = plane(run.data)
    size = _dot_size(len(run.data))
    for column, (name, method) in enumerate(run.methods.items()):
        for row, count in enumerate(steps):
            ax, drawn = axes[row][column], method.samples[count]
            points = plane(drawn.z1)
            ax.scatter(*ground.T, s=size, c="#c8c8c8", linewidths=0, rasterized=True)
            ax.scatter(
                *points.T, s=size, c=_colours_of(method, drawn.assignment), alpha=0.8, linewidths=0, rasterized=True
            )
            _bare(ax, plane)
            distance = method.metrics["by_steps"][str(count)]["w2"]
            head = f"{TITLES[name]}\n" if row == 0 else ""
            ax.set_title(f"{head}W2 {distance:.3f}", fontsize=10)
            if column == 0:
                ax.set_ylabel(f"{count} step{'s' if count > 1 else ''}", fontsize=11)
        _trajectories(axes[-1][column], method, plane, ground)
        if column == 0:
            axes[-1][0].set_ylabel("trajectories", fontsize=11)
    return figure


def _trajectories(ax: Axes, method: MethodRun, plane: Plane, ground: Any) -> None:
    fine = method.fine
    assert fine.trajectory is not None
    shown = slice(0, SHOWN_TRAJECTORIES)
    paths = torch.stack([torch.as_tensor(plane(state)) for state in fine.trajectory[:, shown]], 1).numpy()
    colours = _colours_of(method, None if fine.assignment is None else fine.assignment[shown])
    ax.scatter(*ground.T, s=1.5, c="#d8d8d8", linewidths=0, rasterized=True)
    ax.add_collection(LineCollection(list(paths), colors=colours, linewidths=0.8, alpha=0.8))
    ax.scatter(*paths[:, 0].T, s=5, facecolors="white", edgecolors="#666666", linewidths=0.5, zorder=3)
    ax.scatter(*paths[:, -1].T, s=7, c=colours, linewidths=0, zorder=3)
    _bare(ax, plane)
    xs, ys = paths[..., 0], paths[..., 1]
    (x0, x1), (y0, y1) = plane.limits
    ax.set_xlim(min(x0, xs.min() - 0.1), max(x1, xs.max() + 0.1))
    ax.set_ylim(min(y0, ys.min() - 0.1), max(y1, ys.max() + 0.1))
    ax.set_title(f"straightness {method.metrics['straightness']:.3f} (0 is straight)", fontsize=10)


def curves_figure(result: dict[str, Any]) -> Figure:
    """W2, its excess over the noise floor, MMD2 and off-support share against the number of steps."""
    panels = {
        "w2": "W2",
        "excess_w2": "excess W2 above the noise floor",
        "mmd2": "MMD²",
        "off_support": "share of samples off the support",
    }
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for ax, (key, label) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        for name, method in result["methods"].items():
            steps = [int(t) for t in method["by_steps"]]
            values = [row[key] for row in method["by_steps"].values()]
            ax.plot(steps, values, "o-", color=LINES[name], label=TITLES[name], markersize=4)
            if "range" in result:
                rows = result["range"]["methods"][name]["by_steps"].values()
                ax.fill_between(steps, *zip(*(row[key] for row in rows), strict=True), color=LINES[name], alpha=0.15)
        if key in ("w2", "off_support"):
            floor = result["noise_floor_w2"] if key == "w2" else 0.01
            ax.axhline(floor, color="black", linestyle=":", linewidth=1, label="noise floor: fresh data")
        ax.set_xscale("log")
        ax.set_xticks(steps, [str(t) for t in steps])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("Euler steps" if result["settings"]["solver"] == "euler" else f"{result['settings']['solver']} steps")
        ax.set_title(label, fontsize=10)
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
        ax.grid(alpha=0.25)
    figure.axes[0].legend(fontsize=7.5)
    return figure


def experts_figure(run: SeedRun) -> Figure:
    """For each method: regions of the gate at t = 0 and t = .75, responsibilities on the data, and usage."""
    plane = Plane(run.data)
    figure = Figure(figsize=(13, 3.2 * len(run.methods) + 0.3), layout="constrained")
    axes = figure.subplots(len(run.methods), 4, squeeze=False)
    for row, (name, method) in zip(axes, run.methods.items(), strict=True):
        row[0].set_ylabel(TITLES[name], fontsize=10)
        _gate_regions(row[0], method, plane, 0.0)
        if name == "consistent":  # its gate is only ever trained, and only ever read, at t = 0
            row[1].axis("off")
            row[1].text(0.5, 0.5, "the gate is used\nat t = 0 only", ha="center", va="center", color="#777777")
        else:
            _gate_regions(row[1], method, plane, 0.75)
        _responsibilities(row[2], method, run, plane)
        usage = method.metrics["experts"]["usage"]
        row[3].bar(range(len(usage)), usage, color=expert_colours(len(usage)).numpy())
        row[3].axhline(1 / len(usage), color="black", linestyle=":", linewidth=1)
        row[3].set_title(f"usage, effective experts {method.metrics['experts']['effective']:.1f}", fontsize=10)
        row[3].set_xlabel("expert")
    return figure


def _gate_regions(ax: Axes, method: MethodRun, plane: Plane, t: float) -> None:
    grid, shape = plane.grid(120)
    with torch.no_grad():
        pi = torch.softmax(method.field.gate(grid, t), -1)
    best = pi.max(-1)
    colours = expert_colours(method.field.num_experts)[best.indices].clone()
    colours[:, 3] = 0.15 + 0.85 * best.values
    (x0, x1), (y0, y1) = plane.limits
    ax.imshow(
        colours.reshape(*shape, 4).numpy(), origin="lower", extent=(x0, x1, y0, y1), aspect="auto", interpolation="none"
    )
    _bare(ax, plane)
    ax.set_title(f"gate at t = {t:g}: likeliest expert", fontsize=10)


def _responsibilities(ax: Axes, method: MethodRun, run: SeedRun, plane: Plane) -> None:
    """Colour each held-out point by the expert most responsible for it on pairs with fresh noise at t = 0."""
    z0 = torch.randn(run.data.shape, generator=generator(run.seed, 5))
    z_t, target = linear_path(z0, run.data, 0.0)
    with torch.no_grad():
        gamma = responsibilities(*method.field(z_t, 0.0), target, sigma=method.sigma)
    best = gamma.max(-1)
    colours = expert_colours(method.field.num_experts)[best.indices].clone()
    colours[:, 3] = best.values
    ax.scatter(*plane(run.data).T, s=_dot_size(len(run.data)), c=colours.numpy(), linewidths=0, rasterized=True)
    _bare(ax, plane)
    ax.set_title("data by most responsible expert (t = 0)", fontsize=10)
