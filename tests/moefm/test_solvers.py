"""Solvers: order of convergence on an equation with a known solution."""

import math

import numpy as np
import pytest
import torch

from moefm import InformationTime
from moefm.solvers import ADAPTIVE, SOLVERS, RungeKutta, check_solver, integrate, solver_times, time_grid

START, END = 0.5, 1 / (2 - math.sin(1.0))  # dz/dt = z^2 cos t


def velocity(z, t):
    return z.square() * t.cos()


def grid(steps):
    return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


def solve(solver, steps, **options):
    return integrate(velocity, torch.full((3,), START, dtype=torch.float64), grid(steps), solver, **options)


@pytest.mark.parametrize("solver", SOLVERS)
def test_order_of_convergence(solver):
    counts = torch.tensor([8.0, 16.0, 32.0, 64.0], dtype=torch.float64)
    errors = torch.stack([(solve(solver, int(n)).z1[0] - END).abs() for n in counts])
    x, y = counts.log() - counts.log().mean(), errors.log()
    slope = -(x * y).sum() / x.square().sum()
    assert slope.item() == pytest.approx(SOLVERS[solver].order, abs=0.15)


@pytest.mark.parametrize("solver", SOLVERS)
def test_tableau_is_consistent(solver):
    method = SOLVERS[solver]
    assert sum(method.weights) == pytest.approx(1)
    assert [sum(row) for row in method.stages] == pytest.approx(list(method.nodes))
    assert len(method.weights) == len(method.nodes) == len(method.stages)


@pytest.mark.parametrize("solver, tolerance", [("midpoint", 1e-4), ("heun", 1e-4), ("rk4", 1e-9), ("dopri5", 1e-4)])
def test_backward_integration_returns(solver, tolerance):
    forward = solve(solver, 40)
    back = integrate(velocity, forward.z1, forward.times.flip(0), solver)
    torch.testing.assert_close(back.z1, torch.full_like(back.z1, START), rtol=0, atol=tolerance)


@pytest.mark.parametrize("solver", [*SOLVERS, *(s for s in ADAPTIVE if s != "scipy_solver"), "explicit_adams"])
def test_trajectory(solver):
    out = solve(solver, 20, trajectory=True)
    assert out.trajectory.shape == (21, 3)
    assert (out.trajectory[0] == START).all()
    assert torch.equal(out.trajectory[-1], out.z1)
    exact = 1 / (2 - grid(20).sin())
    torch.testing.assert_close(out.trajectory[:, 0], exact, rtol=0.02, atol=0)
    assert solve(solver, 20).trajectory is None
    torch.testing.assert_close(solve(solver, 20).z1, out.z1, rtol=1e-4, atol=0)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_adaptive_solvers_need_few_grid_points(solver):
    assert solve(solver, 1).z1[0].item() == pytest.approx(END, abs=5e-4)


def test_tolerances_reach_the_adaptive_solver():
    errors = [(solve("dopri5", 1, rtol=tol, atol=tol).z1[0] - END).abs().item() for tol in (1e-2, 1e-9)]
    assert errors[1] < 1e-8 < errors[0]


@pytest.mark.parametrize("rtol, atol, close", [(1e-12, 1e-2, True), (1e-2, 1e-12, False)])
def test_the_relative_tolerance_is_relative(rtol, atol, close):
    """Of a state of a million, a hundredth absolute is a hundred-millionth relative."""
    z0 = torch.full((1,), 1e6, dtype=torch.float64)
    end = integrate(lambda z, t: z * t.cos(), z0, grid(1), "dopri5", rtol=rtol, atol=atol).z1
    assert (abs(end.item() / 1e6 / math.exp(math.sin(1)) - 1) < 1e-7) is close


@pytest.mark.parametrize("solver", SOLVERS)
def test_velocity_is_asked_at_the_stage_times(solver):
    asked = []

    def record(z, t):
        assert t.shape == ()
        asked.append(t.item())
        return torch.zeros_like(z)

    integrate(record, torch.zeros(2), time_grid(4), solver)
    assert asked == [i / 4 + node / 4 for i in range(4) for node in SOLVERS[solver].nodes]


def test_uneven_times():
    times = torch.tensor([0.0, 0.1, 0.7, 1.0], dtype=torch.float64)
    out = integrate(lambda z, t: 2 * t * torch.ones_like(z), torch.zeros(1, dtype=torch.float64), times, "midpoint")
    torch.testing.assert_close(out.z1, torch.ones(1, dtype=torch.float64))  # exact for a linear slope


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("solver", SOLVERS)
def test_state_keeps_its_dtype(solver, dtype):
    assert integrate(velocity, torch.ones(2, dtype=dtype), time_grid(3), solver).z1.dtype == dtype


def test_gradients_flow_through_the_solver():
    z0 = torch.full((1,), START, dtype=torch.float64, requires_grad=True)
    grad = torch.autograd.grad(integrate(velocity, z0, grid(50), "rk4").z1, z0)[0]
    torch.testing.assert_close(grad.item(), (END / START) ** 2, rtol=1e-6, atol=0)


def test_time_grid():
    assert time_grid(1).tolist() == [0, 1]
    torch.testing.assert_close(time_grid(5), torch.arange(6) / 5)


def test_check_solver_names_what_is_known():
    for solver in (*SOLVERS, *ADAPTIVE):
        check_solver(solver)
    with pytest.raises(ValueError, match=r"solver must be one of euler, .*dopri5.*, got 'eulr'"):
        check_solver("eulr")


def test_a_method_of_your_own(monkeypatch):
    ralston = RungeKutta(2, (0.0, 2 / 3), ((), (2 / 3,)), (0.25, 0.75))
    monkeypatch.setitem(SOLVERS, "ralston", ralston)
    assert abs(solve("ralston", 100).z1[0] - END) < 1e-5


GRID = [0, 0.1, 0.3, 1]


@pytest.mark.parametrize("given", [GRID, tuple(GRID), np.array(GRID), torch.tensor(GRID, dtype=torch.float64)])
@pytest.mark.parametrize("steps", [None, 3])
def test_a_grid_is_taken_as_it_is(given, steps):
    times = solver_times(steps, given, default=7)
    assert times.dtype == torch.float32
    assert torch.equal(times, torch.tensor(GRID))


def test_steps_and_their_default():
    information = InformationTime(8).fit_from(torch.tensor([0.0, 0.2, 0.4]), torch.tensor([2.0, 1.0, 0.0]))
    for steps, count in ((None, 7), (3, 3)):
        assert torch.equal(solver_times(steps, default=7), time_grid(count))
        assert torch.equal(solver_times(steps, information, default=7), information.grid(count))


@pytest.mark.parametrize(
    "steps, times, message",
    [
        (None, [0.1, 1], "times must begin at 0 and end at 1, got 0.1 to 1"),
        (None, [0, 0.5], "times must begin at 0 and end at 1, got 0 to 0.5"),
        (None, [0, 0.5, 0.5, 1], "times must increase at every step, got 0.5 after 0.5"),
        (None, [0, 0.5, 0.4, 1], "times must increase at every step, got 0.4 after 0.5"),
        (None, [0, math.nan, 1], "times must increase at every step, got nan after 0"),
        (None, [math.nan, 1], "times must begin at 0"),
        (None, [0], "at least two times"),
        (None, [[0, 1]], "at least two times"),
        (3, [0, 1], "steps must be 1, as many as times has, or be left out, got 3"),
        (0, None, "steps must be an integer of at least 1"),
        (0, InformationTime(), "steps must be an integer of at least 1"),
    ],
)
def test_grids_that_are_none(steps, times, message):
    with pytest.raises(ValueError, match=message):
        solver_times(steps, times, default=4)


@pytest.mark.parametrize("times", ["uniform", InformationTime, ["a", "b"], 4])
def test_times_of_another_type(times):
    with pytest.raises(TypeError, match="times must be"):
        solver_times(None, times, default=4)
