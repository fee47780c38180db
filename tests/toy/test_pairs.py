"""The pair plot of three to six columns."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from toy_runs import TINY

from moefm_toy.datasets import load_dataset
from moefm_toy.experiment import run_seed
from moefm_toy.pairs import pairs_figure, shown_steps


@pytest.fixture(scope="module")
def iris():
    return load_dataset("iris")


@pytest.fixture(scope="module")
def run(iris):
    return run_seed(iris, TINY, 0)


def test_a_panel_for_every_pair_with_the_names_at_the_edges(run, iris):
    figure = pairs_figure(run, iris, "moefm")
    FigureCanvasAgg(figure).draw()
    panels = np.array(figure.axes).reshape(4, 4)
    assert [ax.get_xlabel() for ax in panels[-1]] == list(iris.columns)
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["density", *iris.columns[1:]]
    clouds = [[len(ax.collections) for ax in row] for row in panels]
    assert all(clouds[i][j] == (2 if i > j else 1) for i in range(4) for j in range(4) if i != j)
    below, above = panels[2][1], panels[1][2]
    assert below.get_xlim() == above.get_ylim() and below.get_ylim() == above.get_xlim()
    assert "4 steps" in figure.get_suptitle()


@pytest.mark.parametrize(("steps", "shown"), [((1, 2, 8), 2), ((8, 16), 8), ((1, 4, 100), 4)])
def test_few_steps_are_shown(run, steps, shown):
    method = run.methods["vfm"]
    samples = dict.fromkeys(steps, method.fine)
    assert shown_steps(replace(run, methods={"vfm": replace(method, samples=samples)})) == shown


def test_other_dimensions_are_refused(runs):
    with pytest.raises(ValueError, match="a pair plot needs 3 to 6 dimensions, got 2"):
        pairs_figure(runs[0], load_dataset("moons"), "moefm")
