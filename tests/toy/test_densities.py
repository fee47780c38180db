"""Densities in one dimension."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde
from toy_runs import TINY, seeded

from moefm_toy.datasets import load_dataset
from moefm_toy.densities import bandwidth, density, density_figure, draw_densities
from moefm_toy.experiment import run_seed


def test_density_is_the_kernel_estimate_of_scipy() -> None:
    points, grid = torch.randn(50, generator=seeded()), torch.linspace(-3, 3, 40)
    width = 0.3
    expected = gaussian_kde(points.numpy(), width / float(points.std()))(grid.numpy())
    assert density(points, grid, width).numpy() == pytest.approx(expected, rel=1e-4)


def test_bandwidth_holds_for_points_that_are_all_alike() -> None:
    assert bandwidth(torch.full((20,), 3.0)) == 0.01
    mostly = torch.cat([torch.zeros(19), torch.ones(1)])  # no spread between the quartiles
    assert bandwidth(mostly) == pytest.approx(0.45 * float(mostly.std()) * 20**-0.2)


def test_curves_of_experts_add_up_to_the_whole() -> None:
    ax = Figure().subplots()
    ax.set_xlim(-3, 3)
    samples, assignment = torch.randn(60, generator=seeded()), torch.arange(60) % 3
    draw_densities(ax, torch.randn(80, generator=seeded(1)), samples, assignment, experts=5)
    *parts, whole = [np.asarray(line.get_ydata()) for line in ax.get_lines()]
    assert len(parts) == 3, "experts without samples have no curve"
    assert sum(parts) == pytest.approx(whole, rel=1e-4)


def test_samples_in_one_place_do_not_flatten_the_data() -> None:
    ax = Figure().subplots()
    ax.set_xlim(-3, 3)
    draw_densities(ax, torch.linspace(-2, 2, 200), torch.zeros(50), None, experts=1)
    assert ax.get_ylim()[1] < 1.0


def test_a_row_per_step_count_and_trajectories_last(tmp_path: Path) -> None:
    heights = np.random.default_rng(0).normal(170, 8, 100)
    np.savetxt(tmp_path / "people.csv", heights, header="height (cm)", comments="")
    dataset = load_dataset(tmp_path / "people.csv")
    run: Any = run_seed(dataset, TINY, 0)
    figure = density_figure(run, dataset)
    assert len(figure.axes) == (2 + 1) * 3
    assert sum("W2" in ax.get_title() for ax in figure.axes) == 6
    assert figure.axes[-1].get_xlabel() == "height (cm)"
    figure.canvas.draw()
