"""Names of the data sets, a seeded generator, and settings of runs that take no time."""

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from moefm.plain_text import printable
from moefm_toy.named_points import DataError
from moefm_toy.readers import read_points
from moefm_toy.settings import Settings

TINY = Settings(train_steps=3, points=60, hidden=16, steps=(1, 4))


SHAPES = ["moons", "grid", "checkerboard", "spirals", "pinwheel", "rings"]


MEMBERS = [*SHAPES, "codes", "digits", "iris", "file"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


XY = [[1.0, 2.0], [3.0, 4.5]]


finite_points = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)


def fault(path: Path) -> str:
    """The message for a broken file, after the checks that hold for each of them."""
    with pytest.raises(DataError) as caught:
        read_points(path)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    shown = printable(f"{path}: ") + " "
    assert message.startswith(shown) and message.isprintable()
    return message.removeprefix(shown)
