"""The transport from noise to data as an animated GIF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from moefm.plain_text import printable
from moefm_toy.datasets import Dataset
from moefm_toy.experiment import SeedRun
from moefm_toy.figures import dot_size
from moefm_toy.palette import DATA, TITLES, colours_of
from moefm_toy.plane import Plane
from moefm_toy.units import columns_of

FRAMES = 30
MILLISECONDS, HELD = 100, 2000
"""How long a frame is shown, and how long the last."""
MOST_POINTS = 600
COLOURS = 64


def animate(run: SeedRun, path: Path, dataset: Dataset) -> None:
    """Write a GIF of all methods side by side: 100 fine steps from t = 0 to t = 1, the end held for a moment."""
    plane = Plane(run.data, columns_of(dataset))
    figure = Figure(
        figsize=(3.4 * len(run.methods) + 0.4, 4.4 if dataset.columns else 4.0), dpi=96, layout="constrained"
    )
    canvas = FigureCanvasAgg(figure)
    title = printable(dataset.name)
    heading = figure.text(0.5, 0.985, f"{title}   t = 0.00", ha="center", va="top", parse_math=False, fontsize=13)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.925))  # type: ignore[union-attr, call-arg]
    shown = slice(0, MOST_POINTS)
    size = 2.2 * dot_size(min(MOST_POINTS, len(run.data)))
    clouds = []
    for ax, (name, method) in zip(
        figure.subplots(1, len(run.methods), squeeze=False)[0], run.methods.items(), strict=True
    ):
        assert method.fine.trajectory is not None
        states = [plane(state) for state in method.fine.trajectory[:, shown]]
        ax.scatter(*plane(run.data).T, s=max(5.0, size / 2), c=DATA, linewidths=0)
        assignment = None if method.fine.assignment is None else method.fine.assignment[shown]
        dots = ax.scatter(*states[0].T, s=size, c=colours_of(method, assignment), linewidths=0)
        clouds.append((dots, states))
        spread = max(3.0, *(abs(edge) for pair in plane.limits for edge in pair))
        ax.set(xlim=(-spread, spread), ylim=(-spread, spread), xticks=[], yticks=[], aspect="equal")
        ax.set_title(TITLES[name], fontsize=12)
        plane.label(ax, left=ax.get_subplotspec().is_first_col())
        ax.spines[:].set_color("#cccccc")
    canvas.draw()
    figure.set_layout_engine("none")  # laid out once: doing it again for every frame takes most of the time
    frames = []
    last = len(clouds[0][1]) - 1
    for frame in range(FRAMES):
        position = round(frame / (FRAMES - 1) * last)
        for dots, states in clouds:
            dots.set_offsets(states[position])
        heading.set_text(f"{title}   t = {position / last:.2f}")
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    _write(frames, path)


def _write(frames: list[Image.Image], path: Path) -> None:
    """One palette for all frames and no dithering: what stands still is the same in every frame, and takes no space."""
    palette = frames[-1].quantize(COLOURS)
    entries = np.array(palette.getpalette()).reshape(-1, 3)
    entries[entries.min(1) > 240] = 255  # else white would become the mean of white and nearly white
    palette.putpalette(entries.astype(np.uint8).tobytes())
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [MILLISECONDS] * (len(frames) - 1) + [HELD]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)
