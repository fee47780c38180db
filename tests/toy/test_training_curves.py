"""Loss curves: smoothed, on the scale they need, and named."""

from dataclasses import replace
from typing import Any

import pytest

from moefm_toy.training_curves import losses_figure, smoothed


@pytest.mark.parametrize("window", [1, 3, 9])
def test_smoothing_keeps_straight_lines_and_the_length(window: int) -> None:
    line = [2.0 * i - 7 for i in range(20)]
    inside = slice(0, 20 - window // 2)
    assert smoothed(line, window)[inside] == pytest.approx(line[inside])
    assert len(smoothed(line, window)) == 20


def test_smoothing_takes_away_alternation() -> None:
    wiggle = [float((-1) ** i) for i in range(30)]
    assert max(map(abs, smoothed(wiggle, 9)[4:-4])) < 0.2


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([8.0, 4.0, 1.0], "log"), ([3.0, 2.0, 1.5], "linear"), ([3.0, 0.5, -1.0], "linear"), ([], "linear")],
)
def test_log_scale_where_a_positive_loss_falls_far(runs: Any, losses: list[float], scale: str) -> None:
    method = replace(runs[0].methods["moefm"], losses=list(enumerate(losses, 1)))
    figure = losses_figure(replace(runs[0], methods={"moefm": method}))
    (ax,) = figure.axes
    assert ax.get_yscale() == scale
    assert ax.get_xlabel() == "training step" and "log-likelihood" in ax.get_ylabel()
    figure.canvas.draw()


def test_a_panel_for_every_method_with_the_losses_recorded(runs: Any) -> None:
    figure = losses_figure(runs[0])
    assert [ax.get_title() for ax in figure.axes] == [
        "VFM (one field)", "MoE-FM (paper's loss)", "MoE-FM (consistent loss)",
    ]  # fmt: skip
    recorded, curve = figure.axes[0].get_lines()
    assert list(recorded.get_xdata()) == list(curve.get_xdata()) == [1, 2, 3]
