"""ODE solvers: four explicit Runge-Kutta methods, and any method of torchdiffeq by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from moefm.checks import check_count
from moefm.finite import traced
from moefm.inputs import as_tensor, check_instance

Velocity = Callable[[Tensor, Tensor], Tensor]
"""A vector field ``f(z, t)`` that returns the velocity in the shape of ``z``; ``t`` is a scalar tensor."""


class Solution(NamedTuple):
    """End state, states at every time ``(len(times), *z.shape)`` or ``None``, and the times."""

    z1: Tensor
    trajectory: Tensor | None
    times: Tensor


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge-Kutta method given by its Butcher tableau.

    Attributes:
        order: Order of convergence.
        nodes: Stage times as fractions of the step.
        stages: Row i weighs the earlier slopes in stage i.
        weights: Weights of the slopes in the step.
    """

    order: int
    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]

    def step(self, velocity: Velocity, z: Tensor, t: Tensor, dt: Tensor) -> Tensor:
        """Advance ``z`` from ``t`` to ``t + dt``."""
        slopes: list[Tensor] = []
        for node, row in zip(self.nodes, self.stages, strict=True):
            slopes.append(velocity(_combine(z, dt, row, slopes), t + node * dt))
        return _combine(z, dt, self.weights, slopes)


def _combine(z: Tensor, dt: Tensor, weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            z = z + (weight * dt).to(slope.dtype) * slope
    return z


SOLVERS: dict[str, RungeKutta] = {
    "euler": RungeKutta(1, (0.0,), ((),), (1.0,)),
    "midpoint": RungeKutta(2, (0.0, 0.5), ((), (0.5,)), (0.0, 1.0)),
    "heun": RungeKutta(2, (0.0, 1.0), ((), (1.0,)), (0.5, 0.5)),
    "rk4": RungeKutta(4, (0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun", "scipy_solver")


def time_grid(steps: int, device: torch.device | str | None = None) -> Tensor:
    """Uniform times 0, 1/steps, ..., 1: ``steps + 1`` points.

    Example:
        >>> time_grid(4)
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    return torch.linspace(0, 1, check_count("steps", steps) + 1, device=device)


class TimeGrid(Protocol):
    """Anything that chooses the times of the steps, such as :class:`moefm.InformationTime`."""

    def grid(self, steps: int) -> Tensor:
        """Increasing times ``(steps + 1,)`` from exactly 0 to exactly 1."""
        ...


Times = TimeGrid | Tensor | Sequence[float] | None
"""Where the steps of a solver lie: spaced by an object, given one by one, or ``None`` for equal steps."""


def solver_times(
    steps: int | None, times: Times = None, *, default: int, device: torch.device | str | None = None
) -> Tensor:
    """The grid of a solver, ``(steps + 1,)`` in float32.

    Args:
        steps: Number of steps. ``None`` is the number that ``times`` lists, or else ``default``.
        times: What spaces the steps, or all of their ends from 0 to 1.
        default: Number of steps if neither gives one.
        device: Device of the grid.

    Raises:
        ValueError: The times do not increase from 0 to 1, or do not agree with ``steps``.
        TypeError: ``times`` is neither.

    Example:
        >>> solver_times(None, [0, 0.1, 0.3, 1], default=4)
        tensor([0.0000, 0.1000, 0.3000, 1.0000])
    """
    if times is None:
        return time_grid(default if steps is None else steps, device)
    check_instance("times", times)
    if hasattr(times, "grid"):
        return times.grid(default if steps is None else check_count("steps", steps)).to(device)
    grid = (_tensor(times) if isinstance(times, (list, tuple)) else as_tensor("times", times)).detach()
    grid = grid.to(device, torch.float32)
    if grid.ndim != 1 or len(grid) < 2:
        raise ValueError(f"times must be a vector of at least two times, got shape {tuple(grid.shape)}")
    if steps is not None and check_count("steps", steps) != len(grid) - 1:
        raise ValueError(f"steps must be {len(grid) - 1}, as many as times has, or be left out, got {steps}")
    if not traced():
        _check_grid(grid)
    return grid


def _tensor(times: Sequence[float]) -> Tensor:
    try:
        return torch.tensor(times)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"times must be numbers that increase from 0 to 1, got {times!r}") from None


def _check_grid(grid: Tensor) -> None:
    """Raise unless the times increase from exactly 0 to exactly 1; NaN does not."""
    if grid[0] != 0 or grid[-1] != 1:
        raise ValueError(f"times must begin at 0 and end at 1, got {grid[0].item():g} to {grid[-1].item():g}")
    bad = ~(grid.diff() > 0)
    if bool(bad.any()):
        place = int(bad.nonzero()[0]) + 1
        raise ValueError(
            f"times must increase at every step, got {grid[place].item():g} after {grid[place - 1].item():g}"
        )


def integrate(
    velocity: Velocity,
    z0: Tensor,
    times: Tensor,
    solver: str = "euler",
    *,
    trajectory: bool = False,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> Solution:
    """Solve dz/dt = velocity(z, t) along ``times``, which may run backwards.

    Args:
        velocity: The vector field.
        z0: State ``(*batch, D)`` at ``times[0]``.
        times: At least two monotone times ``(steps + 1,)``. An adaptive solver chooses its own steps and reports at
            these times.
        solver: ``euler``, ``midpoint``, ``heun``, ``rk4``, or a method of torchdiffeq such as ``dopri5``.
        trajectory: Keep the state at every time.
        rtol: Relative tolerance of adaptive solvers.
        atol: Absolute tolerance of adaptive solvers.

    Raises:
        ValueError: ``times`` is not a vector of at least two, or the solver is unknown.
        ImportError: The solver needs torchdiffeq, which is not installed.

    Example:
        >>> integrate(lambda z, t: z, torch.ones(1), time_grid(10), "rk4").z1  # e
        tensor([2.7183])
    """
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"times must be a vector of at least two times, got shape {tuple(times.shape)}")
    if solver not in SOLVERS:
        return _torchdiffeq(velocity, z0, times, solver, trajectory, rtol, atol)
    step, z, states = SOLVERS[solver].step, z0, [z0]
    for t, dt in zip(times[:-1], times.diff(), strict=True):
        z = step(velocity, z, t, dt)
        if trajectory:
            states.append(z)
    return Solution(z, torch.stack(states) if trajectory else None, times)


def check_solver(solver: str) -> str:
    """Return ``solver`` if it is one of ours or a method of torchdiffeq.

    Raises:
        ValueError: The name is unknown.
        ImportError: It is none of ours, and torchdiffeq is not installed.

    Example:
        >>> check_solver("dopri5")
        'dopri5'
    """
    if solver in SOLVERS:
        return solver
    try:
        from torchdiffeq._impl.odeint import SOLVERS as OTHERS
    except ImportError:
        raise ImportError(
            f"solver {solver!r} needs torchdiffeq: pip install torchdiffeq, or use one of {', '.join(SOLVERS)}"
        ) from None
    if solver not in OTHERS:
        known = ", ".join([*SOLVERS, *sorted(set(OTHERS) - set(SOLVERS))])
        raise ValueError(f"solver must be one of {known}, got {solver!r}")
    return solver


def _torchdiffeq(
    velocity: Velocity, z0: Tensor, times: Tensor, solver: str, trajectory: bool, rtol: float, atol: float
) -> Solution:
    check_solver(solver)
    from torchdiffeq import odeint

    at = times if trajectory or solver not in ADAPTIVE else times[[0, -1]]
    states = odeint(lambda t, z: velocity(z, t), z0, at, method=solver, rtol=rtol, atol=atol)
    return Solution(states[-1], states if trajectory else None, times)
