"""Figures: they have the promised panels, are not empty, and survive odd logs and odd texts."""

import math
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from yanlm.figures import loss_figure, printed, smoothed


def ink(figure):
    """Share of pixels that are not white; whatever matplotlib warns of is an error."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas.draw()
    return float((np.asarray(canvas.buffer_rgba())[..., :3] < 250).any(-1).mean())


def log(count, every=10, **parts):
    """Parts that fall from a value to another, as the training loop logs them."""
    records = []
    for i in range(count):
        at = {name: high + (low - high) * i / max(1, count - 1) for name, (high, low) in parts.items()}
        records.append({"step": 1 + every * i, "loss": sum(at.values()), "parts": at, "lr": 1e-3, "seconds": 0.1 * i})
    return records


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_loss_figure_has_a_panel_for_each_stage():
    first = log(50, ce=(7, 0.01), slot_ce=(7, 3), mmd=(0.1, 0.001))
    second = log(300, flow=(2, 1), gate=(1, 0.2), ce=(7, 3))
    figure = loss_figure({2: second, 1: first})
    assert [ax.get_title() for ax in figure.axes] == ["stage 1: autoencoder", "stage 2: latent flow"]
    first, second = figure.axes
    assert len(first.get_lines()) == 4
    assert len(second.get_lines()) == 2 * 4  # long: what was logged, and its moving mean
    assert first.get_yscale() == "log"
    assert labels(first) == ["total  3.12", "cross-entropy  0.0813", "cross-entropy, masked  3.04", "MMD²  0.00201"]
    assert ink(figure) > 0.01


def test_loss_axis_is_linear_where_losses_are_negative():
    figure = loss_figure({2: log(30, flow=(2, -1), gate=(1, 0.2))})
    assert figure.axes[0].get_yscale() == "linear"


def test_a_negative_mmd_leaves_gaps_on_a_logarithmic_axis():
    records = log(40, ce=(7, 0.01), mmd=(0.1, 0.001))
    for record in records[30:33]:
        record["parts"]["mmd"] = -1e-5
    figure = loss_figure({1: records})
    assert figure.axes[0].get_yscale() == "log"
    assert ink(figure) > 0.01


@pytest.mark.parametrize(
    "logs",
    [
        {},
        {1: []},
        {1: log(1, ce=(7, 7))},
        {1: [{"step": 1, "loss": math.nan, "parts": {"ce": math.nan}}]},
        {2: [{"step": 1, "loss": 0.0, "parts": {}}, {"step": 2, "loss": 1.0, "parts": {"new": 1.0, "a_b": 2.0}}]},
    ],
)
def test_loss_figure_survives_odd_logs(logs):
    assert ink(loss_figure(logs)) > 0


def test_smoothing_keeps_lines_level_and_gaps():
    line = np.linspace(5, 1, 400)
    smooth = smoothed(line)
    np.testing.assert_allclose(smooth[:-4], line[:-4])
    assert abs(smooth[-1] - line[-1]) < 0.05
    noisy = line + np.random.default_rng(0).normal(size=400)
    assert np.abs(smoothed(noisy) - line)[20:].mean() < 0.6 * np.abs(noisy - line)[20:].mean()
    line[100] = np.nan
    found = smoothed(line)
    assert np.isnan(found[100])
    assert np.isfinite(np.delete(found, 100)).all()


@pytest.mark.parametrize(
    "name", ["$x_$", "a$b", r"\$x^$", "\\alpha", "_own", "\x1b[31m", "a\nb", "\u6771\U0001f600", "%s {x}"]
)
def test_a_name_is_printed_and_not_set_as_a_formula(name):
    figure = Figure()
    ax = figure.subplots()
    ax.plot([0, 1], label=printed(name))
    ax.set_yticks([0], [printed(name)])
    legend = ax.legend()
    assert ink(figure) > 0.001
    assert [text.get_text().strip() for text in legend.get_texts()] == [printed(name).strip()]
    for text in (*legend.get_texts(), *ax.get_yticklabels()):
        assert not text._preprocess_math(text.get_text())[1]
