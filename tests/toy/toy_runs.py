"""Names of the data sets, a seeded generator, and settings of runs that take no time."""

import torch

from moefm_toy.settings import Settings

TINY = Settings(train_steps=3, points=60, hidden=16, steps=(1, 4))


SHAPES = ["moons", "grid", "checkerboard", "spirals", "pinwheel", "rings"]


MEMBERS = [*SHAPES, "codes", "digits", "iris", "file"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
