"""The figures of the toy experiment. Each function returns a matplotlib Figure; nothing is shown."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from moefm.losses import responsibilities
from moefm.paths import linear_path
from moefm.plain_text import printable
from moefm_toy.datasets import Dataset
from moefm_toy.experiment import MethodRun, SeedRun, loss_of
from moefm_toy.headings import head
from moefm_toy.palette import DATA, LINES, TITLES, colours_of, expert_colours
from moefm_toy.plane import Plane
from moefm_toy.settings import IN_INFORMATION_TIME, generator
from moefm_toy.units import columns_of

SHOWN_TRAJECTORIES = 80
_NOISE_REACH = 3.0  # standard normal noise hardly ever lies farther out


def _bare(ax: Axes, plane: Plane) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_aspect("equal" if plane.equal else "auto")
    (x0, x1), (y0, y1) = plane.limits
    ax.set_xlim(x0, x1)
    ax.set_ylim(y0, y1)
    for spine in ax.spines.values():
        spine.set_color("#cccccc")


def dot_size(count: int) -> float:
    """Size of a dot that keeps a cloud of ``count`` points readable."""
    return max(1.5, min(12.0, 5000 / count))


def _dots(ax: Axes, points: Any, size: float, colour: Any, **style: Any) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=size, c=colour, **{"linewidths": 0, "rasterized": True, **style})


def samples_figure(run: SeedRun, dataset: Dataset) -> Figure:
    """Like the paper's Fig. 2: a row per step count, a column per method, trajectories in the last row.

    Data is grey, samples are coloured by expert; each panel shows its W2.
    """
    plane = Plane(run.data, columns_of(dataset))
    steps = list(next(iter(run.methods.values())).samples)
    rows, columns = len(steps) + 1, len(run.methods)
    heights = [plane.aspect] * len(steps) + [1.0]
    width = 3.2
    size_inches = (max(width * columns + 0.3, 5.0), sum(width * h + 0.32 for h in heights) + 0.7)
    figure = Figure(figsize=size_inches, layout="constrained")
    floor = f"noise floor of W2 {run.floor:.3f}"
    head(figure, f"{dataset.name}: data grey, samples coloured by expert; {floor}")
    axes = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    ground = plane(run.data)
    size = dot_size(len(run.data))
    for column, (name, method) in enumerate(run.methods.items()):
        for row, count in enumerate(steps):
            ax, drawn = axes[row][column], method.samples[count]
            points = plane(drawn.z1)
            _dots(ax, ground, size, DATA)
            _dots(ax, points, size, colours_of(method, drawn.assignment), alpha=0.8)
            _bare(ax, plane)
            plane.label(ax, left=column == 0, bottom=row == len(steps) - 1)
            distance = method.metrics["by_steps"][str(count)]["w2"]
            title = f"{TITLES[name]}\n" if row == 0 else ""
            ax.set_title(f"{title}W2 {distance:.3f}", fontsize=10)
            if column == 0:
                _name_row(ax, f"{count} step{'s' if count > 1 else ''}")
        _trajectories(axes[-1][column], method, plane, ground)
        plane.label(axes[-1][column], left=column == 0)
        if column == 0:
            _name_row(axes[-1][0], "trajectories")
    return figure


def _name_row(ax: Axes, name: str) -> None:
    """Write at the left what a row shows, above the name of the axis if it has one."""
    own = printable(ax.get_ylabel())
    ax.set_ylabel(f"{name}\n{own}" if own else name, fontsize=9 if own else 11, parse_math=False)


def _trajectories(ax: Axes, method: MethodRun, plane: Plane, ground: Any) -> None:
    fine = method.fine
    assert fine.trajectory is not None
    shown = slice(0, SHOWN_TRAJECTORIES)
    paths = torch.stack([torch.as_tensor(plane(state)) for state in fine.trajectory[:, shown]], 1).numpy()
    colours = colours_of(method, None if fine.assignment is None else fine.assignment[shown])
    _dots(ax, ground, 1.5, "#d8d8d8")
    ax.add_collection(LineCollection(list(paths), colors=colours, linewidths=0.8, alpha=0.8))
    _dots(ax, paths[:, 0], 5, "white", edgecolors="#666666", linewidths=0.5, zorder=3)
    _dots(ax, paths[:, -1], 7, colours, zorder=3)
    _bare(ax, plane)
    reach = max(_NOISE_REACH, *(abs(edge) for pair in plane.limits for edge in pair))
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_title(f"straightness {method.metrics['straightness']:.3f} (0 is straight)", fontsize=10)


def curves_figure(result: dict[str, Any]) -> Figure:
    """W2, its excess over the noise floor, MMD2 and off-support share against the number of steps."""
    panels = {
        "w2": "W2",
        "excess_w2": "excess W2 above the noise floor",
        "mmd2": "MMD²",
        "off_support": "share of samples off the support",
    }
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    for ax, (key, label) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        for name, method in result["methods"].items():
            steps = [int(t) for t in method["by_steps"]]
            values = [row[key] for row in method["by_steps"].values()]
            style = "s--" if name in IN_INFORMATION_TIME else "o-"
            ax.plot(steps, values, style, color=LINES[name], label=TITLES[name], markersize=4)
            if "range" in result:
                rows = result["range"]["methods"][name]["by_steps"].values()
                ax.fill_between(steps, *zip(*(row[key] for row in rows), strict=True), color=LINES[name], alpha=0.15)
        if key in ("w2", "off_support"):
            floor = result["noise_floor_w2"] if key == "w2" else 0.01
            ax.axhline(floor, color="black", linestyle=":", linewidth=1, label="noise floor: fresh data")
        ax.set_xscale("log")
        ax.set_xticks(steps, [str(t) for t in steps])
        ax.xaxis.set_minor_formatter(NullFormatter())
        solver = result["settings"]["solver"]
        ax.set_xlabel("Euler steps" if solver == "euler" else f"{solver} steps")
        ax.set_title(label, fontsize=10)
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
        ax.grid(alpha=0.25)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    labels = [label.replace("\n", " ") for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=9.5, frameon=False)
    return figure


def experts_figure(run: SeedRun, dataset: Dataset) -> Figure:
    """For each mixture: regions of the gate at t = 0 and t = .75, responsibilities on the data, and usage."""
    plane = Plane(run.data, columns_of(dataset))
    shown = {name: method for name, method in run.methods.items() if method.field.num_experts > 1} or run.methods
    figure = Figure(figsize=(13, 3.1 * len(shown) + 0.3), layout="constrained")
    axes = figure.subplots(len(shown), 4, squeeze=False)
    for row, (name, method) in zip(axes, shown.items(), strict=True):
        _gate_regions(row[0], method, plane, 0.0)
        plane.label(row[0])
        _name_row(row[0], TITLES[name])
        if loss_of(name) == "consistent":  # its gate is only ever trained, and only ever read, at t = 0
            row[1].axis("off")
            note = "this gate is trained\nand used at t = 0 only"
            row[1].text(0.5, 0.5, note, ha="center", va="center", color="#777777")
        else:
            _gate_regions(row[1], method, plane, 0.75)
        _responsibilities(row[2], method, run, plane)
        usage = method.metrics["experts"]["usage"]
        row[3].bar(range(len(usage)), usage, color=expert_colours(len(usage)).numpy(), width=0.8)
        row[3].axhline(1 / len(usage), color="black", linestyle=":", linewidth=1)
        row[3].set_title(f"usage; effective experts {method.metrics['experts']['effective']:.1f}", fontsize=10)
        row[3].set_xlabel("expert")
        row[3].set_xticks(range(len(usage)) if len(usage) <= 16 else [0, len(usage) - 1])
    return figure


def _gate_regions(ax: Axes, method: MethodRun, plane: Plane, t: float) -> None:
    """Colour the plane by the most probable expert, paler where less certain; at t = 0 the place should not matter."""
    reach = _NOISE_REACH
    limits = ((-reach, reach), (-reach, reach))
    grid, shape = plane.grid(120, limits)
    with torch.no_grad():
        pi = torch.softmax(method.field.gate(grid, t), -1)
    best = pi.max(-1)
    colours = expert_colours(method.field.num_experts)[best.indices].clone()
    colours[:, 3] = 0.1 + 0.9 * best.values
    extent = (-reach, reach, -reach, reach)
    ax.imshow(colours.reshape(*shape, 4).numpy(), origin="lower", extent=extent, interpolation="none")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(f"gate at t = {t:g}, largest probability {float(best.values.mean()):.2f}", fontsize=10)


def _responsibilities(ax: Axes, method: MethodRun, run: SeedRun, plane: Plane) -> None:
    """Colour each held-out point by the expert most responsible for it on pairs with fresh noise at t = 0."""
    z0 = torch.randn(run.data.shape, generator=generator(run.seed, 5))
    z_t, target = linear_path(z0, run.data, 0.0)
    with torch.no_grad():
        velocities, logits = method.field(z_t, 0.0)
        gamma = responsibilities(velocities, logits, target, sigma=method.sigma)
    best = gamma.max(-1)
    colours = expert_colours(method.field.num_experts)[best.indices].clone()
    colours[:, 3] = best.values
    _dots(ax, plane(run.data), dot_size(len(run.data)), colours.numpy())
    _bare(ax, plane)
    plane.label(ax)
    ax.set_title("data by most responsible expert (t = 0)", fontsize=10)
