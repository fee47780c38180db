"""Shapes in the plane, of about unit scale; any number of points, each drawn independently.

All randomness comes from the `torch.Generator` that is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Sampler = Callable[[int, torch.Generator], Tensor]


def _uniform(n: int, generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    unit = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float32)
    return low + (high - low) * unit


def _noise(n: int, generator: torch.Generator, std: float) -> Tensor:
    return std * torch.randn(n, 2, generator=generator, device=generator.device, dtype=torch.float32)


def _choice(n: int, generator: torch.Generator, count: int) -> Tensor:
    """n equally likely whole numbers below `count`, as float32."""
    return torch.randint(count, (n,), generator=generator, device=generator.device, dtype=torch.float32)


def _polar(radius: Tensor | float, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)


def _moons(n: int, generator: torch.Generator) -> Tensor:
    # The curves of scikit-learn's make_moons. That function spaces its angles evenly and fills both moons
    # equally, so two of its draws lie closer together (W2 .04, not about .12, at n = 2000) than samples of
    # a perfect model can; here the points are independent, as the noise floor of W2 supposes.
    lower = _choice(n, generator, 2)[:, None]
    upper_moon = _polar(1.0, _uniform(n, generator, 0.0, math.pi))
    lower_moon = upper_moon.new_tensor([1.0, 0.5]) - upper_moon
    raw = torch.where(lower == 1, lower_moon, upper_moon) + _noise(n, generator, 0.05)
    return 1.5 * (raw - raw.new_tensor([0.5, 0.25]))


def _grid(n: int, generator: torch.Generator) -> Tensor:
    spacing, radius = 2.0, 0.5
    mode = _choice(n, generator, 9)
    centers = spacing * (torch.stack([mode % 3, mode // 3], dim=-1) - 1)
    arcs = _polar(radius, _uniform(n, generator, 0.0, math.pi))
    arcs[:, 1] -= 2 * radius / math.pi  # the mean height of a half circle: the whole is centred at 0
    return centers + arcs + _noise(n, generator, 0.05)


def _checkerboard(n: int, generator: torch.Generator) -> Tensor:
    square = _choice(n, generator, 8)  # the black squares of a 4 x 4 board, two in each row
    row = square // 2
    column = 2 * (square % 2) + row % 2
    within = torch.stack([_uniform(n, generator), _uniform(n, generator)], dim=-1)
    return torch.stack([column, row], dim=-1) + within - 2.0


def _spirals(n: int, generator: torch.Generator) -> Tensor:
    # Two arms of 1.5 turns, from 1/5 of that angle on so that they do not touch. The square root spreads
    # the points evenly along an arm, whose length grows with the square of the angle.
    arm = _choice(n, generator, 2)
    turned = _uniform(n, generator, 0.2**2, 1.0).sqrt()
    return _polar(2.5 * turned, 3 * math.pi * turned + math.pi * arm) + _noise(n, generator, 0.06)


def _pinwheel(n: int, generator: torch.Generator) -> Tensor:
    # Five blades: a Gaussian, long in the radius and narrow across, bent more the further in it lies.
    blade = _choice(n, generator, 5)
    radius, across = _noise(n, generator, 1.0).unbind(-1)
    radius = 1 + 0.3 * radius
    angle = 2 * math.pi / 5 * blade + 0.25 * radius.exp()
    return 2 * (_polar(radius, angle) + _polar(0.1 * across, angle + math.pi / 2))


def _rings(n: int, generator: torch.Generator) -> Tensor:
    radius = 0.6 + 0.8 * _choice(n, generator, 3)  # .6, 1.4, 2.2, equally likely
    return _polar(radius, _uniform(n, generator, 0.0, 2 * math.pi)) + _noise(n, generator, 0.05)


# Name -> description, K, sampler. An expert does well on a piece that is nearly straight, so long curves get
# several: four for each moon, one for each quarter turn of the spirals (2 x 6) and the rings (3 x 4), two for
# each bent blade. The grid's arcs are small against their distances, so one for each will do.
SHAPES: dict[str, tuple[str, int, Sampler]] = {
    "moons": ("two interleaved half circles, as scikit-learn's make_moons", 8, _moons),
    "grid": ("3 x 3 half-circle arcs", 9, _grid),
    "checkerboard": ("the 8 black squares of a 4 x 4 board", 8, _checkerboard),
    "spirals": ("two interleaved spiral arms of 1.5 turns", 12, _spirals),
    "pinwheel": ("five bent blades", 10, _pinwheel),
    "rings": ("three concentric rings", 12, _rings),
}
