"""The transport from noise to data as an animated GIF."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from moefm.plain_text import printable
from moefm_toy.experiment import SeedRun
from moefm_toy.figures import TITLES, colours_of, dot_size
from moefm_toy.plane import Plane

FRAMES = 34
HOLD = 8


def animate(run: SeedRun, path: Path, title: str) -> None:
    """Write a GIF of all methods side by side: 100 fine steps from t = 0 to t = 1, the end held for a moment."""
    plane = Plane(run.data)
    figure = Figure(figsize=(3.2 * len(run.methods), 3.5), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(run.methods), squeeze=False)[0]
    title = printable(title)
    heading = figure.suptitle(f"{title}   t = 0.00", parse_math=False)
    clouds = []
    for ax, (name, method) in zip(axes, run.methods.items(), strict=True):
        assert method.fine.trajectory is not None
        states = [plane(state) for state in method.fine.trajectory]
        ax.scatter(*plane(run.data).T, s=2, c="#d0d0d0", linewidths=0)
        dots = ax.scatter(
            *states[0].T, s=dot_size(len(run.data)), c=colours_of(method, method.fine.assignment), linewidths=0
        )
        clouds.append((dots, states))
        spread = max(3.0, *(abs(edge) for pair in plane.limits for edge in pair))
        ax.set(xlim=(-spread, spread), ylim=(-spread, spread), xticks=[], yticks=[], aspect="equal", title=TITLES[name])
        ax.title.set_fontsize(10)

    def draw(frame: int) -> None:
        position = round(min(frame, FRAMES - 1) / (FRAMES - 1) * (len(clouds[0][1]) - 1))
        for dots, states in clouds:
            dots.set_offsets(states[position])
        heading.set_text(f"{title}   t = {position / (len(clouds[0][1]) - 1):.2f}")

    figure.canvas.draw()
    figure.set_layout_engine("none")  # laid out once: doing it again for every frame takes most of the time
    with matplotlib.rc_context({"animation.embed_limit": 50}):
        FuncAnimation(figure, draw, frames=FRAMES + HOLD, blit=False).save(path, writer=PillowWriter(fps=15))
