"""Figures: they exist, have the promised panels, and are not empty."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from moefm_toy import figures
from moefm_toy.animation import animate
from moefm_toy.datasets import load_dataset
from moefm_toy.experiment import run_seed
from moefm_toy.report import document
from moefm_toy.settings import Settings

SETTINGS = Settings(train_steps=2, points=40, hidden=8, steps=(1, 2, 4))


@pytest.fixture(scope="module")
def run():
    return run_seed(load_dataset("grid"), SETTINGS, 0)


def ink(figure):
    """Share of pixels that are not white."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return float((np.asarray(canvas.buffer_rgba())[..., :3] < 250).any(-1).mean())


def test_samples_figure_has_a_row_per_step_count_and_trajectories_last(run):
    figure = figures.samples_figure(run, load_dataset("grid"))
    assert len(figure.axes) == (3 + 1) * 3
    titles = [ax.get_title() for ax in figure.axes]
    assert sum("W2" in title for title in titles) == 9
    assert sum("straightness" in title for title in titles) == 3
    assert ink(figure) > 0.02


@pytest.mark.parametrize("name", ["$x_$", "a$b$", "\x1b[31m"])
def test_the_name_of_a_file_is_no_formula(run, name, tmp_path):
    dataset = replace(load_dataset("grid"), name=name)
    figure = figures.samples_figure(run, dataset)
    assert ink(figure) > 0.02
    assert figure.get_suptitle().startswith(name.replace("\x1b", "\\x1b"))
    animate(run, tmp_path / "transport.gif", dataset)


def test_curves_figure_draws_noise_floor_and_every_method(run):
    result = document("grid", SETTINGS, [run])
    figure = figures.curves_figure(result)
    lines = figure.axes[0].get_lines()
    assert len(lines) == 3 + 1
    assert lines[-1].get_ydata()[0] == result["noise_floor_w2"]
    assert ink(figure) > 0.01


def test_curves_figure_shades_the_range_over_seeds(run):
    result = document("grid", SETTINGS, [run, run_seed(load_dataset("grid"), SETTINGS, 1)])
    assert all(len(ax.collections) == 3 for ax in figures.curves_figure(result).axes)


def test_experts_figure_has_a_row_per_mixture(run):
    figure = figures.experts_figure(run, load_dataset("grid"))
    assert len(figure.axes) == 2 * 4
    assert ink(figure) > 0.05


def test_axes_are_columns_in_their_units(tmp_path):
    rows = np.random.default_rng(0).normal([170, 70], [10, 12], (60, 2))
    np.savetxt(tmp_path / "people.csv", rows, delimiter=",", header="height,weight", comments="")
    dataset = load_dataset(tmp_path / "people.csv")
    people = run_seed(dataset, SETTINGS, 0)
    for figure in (figures.samples_figure(people, dataset), figures.experts_figure(people, dataset)):
        FigureCanvasAgg(figure).draw()
        assert any("height" in ax.get_xlabel() for ax in figure.axes)
        assert any("weight" in ax.get_ylabel() for ax in figure.axes)
        ticks = [float(text.get_text()) for text in figure.axes[0].get_yticklabels()]
        assert ticks and all(0 < tick < 140 for tick in ticks)


def test_principal_components_are_named(tmp_path):
    dataset = load_dataset("iris")
    figure = figures.samples_figure(run_seed(dataset, SETTINGS, 0), dataset)
    assert figure.axes[-1].get_xlabel() == "1st principal component"
