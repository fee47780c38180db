"""The transport as a GIF: its frames, from noise to data."""

from pathlib import Path
from typing import Any

from PIL import Image

from moefm_toy.animation import FRAMES, HELD, MILLISECONDS, animate
from moefm_toy.datasets import load_dataset


def test_the_end_is_held_for_a_moment(runs: Any, tmp_path: Path) -> None:
    path = tmp_path / "transport.gif"
    animate(runs[0], path, load_dataset("moons"))
    with Image.open(path) as film:
        durations, frames = [], []
        for number in range(film.n_frames):
            film.seek(number)
            durations.append(film.info["duration"])
            frames.append(film.convert("RGB").tobytes())
        corner = film.convert("RGB").getpixel((0, 0))
        size = film.size
    assert len(set(frames)) == len(frames) == FRAMES, "each frame moves the points"
    assert durations == [MILLISECONDS] * (FRAMES - 1) + [HELD]
    assert corner == (255, 255, 255), "a white page"
    assert size[0] >= 900, "as wide as a page"
