"""Where a model decides: numbers that are the time's own, lines, a figure with and without a measurement."""

from __future__ import annotations

import pytest
import torch

from moefm import InformationTime
from yanlm.analysis.information import GRIDS, information_figure, information_lines, information_numbers
from yanlm.nn.denoiser import LAST


@pytest.fixture
def measured() -> InformationTime:
    """Everything is decided before t = 0.2; beyond 0.9 nothing was looked at."""
    t = torch.linspace(0, 0.9, 200)
    time = InformationTime(20)
    time.observe(t, (1 - 5 * t).clamp_min(0))
    return time


def test_numbers_are_the_time_s_own(measured: InformationTime) -> None:
    numbers = information_numbers(measured)
    assert list(numbers["grid"]) == [str(count) for count in GRIDS]
    assert numbers["grid"]["4"] == pytest.approx(measured.grid(4, last=LAST).tolist(), abs=1e-6)
    assert len(numbers["times"]) == len(numbers["errors"]) == 19 and max(numbers["times"]) < 0.95
    again = InformationTime(20).fit_from(torch.tensor(numbers["times"]), torch.tensor(numbers["errors"]))
    assert torch.allclose(again.grid(8), measured.grid(8), atol=1e-4)


def test_without_a_measurement_times_are_uniform() -> None:
    numbers = information_numbers(InformationTime())
    assert numbers["times"] == numbers["errors"] == [] and numbers["grid"]["4"] == pytest.approx(
        [0.0, 0.307692, 0.615385, 0.923077, 1.0]
    )
    assert "nothing was measured" in information_figure(InformationTime()).axes[0].texts[0].get_text()


def test_lines_say_the_grids(measured: InformationTime) -> None:
    lines = information_lines(information_numbers(measured))
    assert [line.split()[:4] for line in lines] == [["times", "of", str(count), "steps"] for count in GRIDS]
    assert lines[0].split()[4] == "0" and lines[0].split()[-1] == "1"


def test_the_figure_marks_the_grid_on_both_curves(measured: InformationTime) -> None:
    figure = information_figure(measured, "a model")
    curve, share = figure.axes
    grid = information_numbers(measured, [4])["grid"]["4"]
    for ax in (curve, share):
        marks = [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1]
        assert {*grid} <= {*marks}
    assert list(curve.lines[0].get_ydata()) == information_numbers(measured)["errors"]
    assert share.lines[0].get_ydata()[0] == 0 and share.lines[0].get_ydata()[-1] == pytest.approx(1)
    assert figure.get_suptitle() == "a model"
