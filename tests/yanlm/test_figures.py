"""Figures: they have the promised panels, are not empty, and survive odd logs and odd texts."""

import math
import warnings

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from yanlm.analysis.figures import latent_figure, token_colours
from yanlm.analysis.geometry import geometry, principal_components
from yanlm.analysis.latents import Inspection
from yanlm.figures import COLOURS, WIDTH, loss_figure, smoothed


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


def inspection(scale=1.0, texts=("␣the", ",", "."), n=80, seed=0):
    z = scale * torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    ids = torch.arange(n) % 10
    spectrum, axes = principal_components(z)
    numbers = {
        **geometry(z, ids), "normal": geometry(z, ids), "tokens": n, "dim": 6, "reconstruction": 0.987,
        "accuracy_under_noise": {"0": 0.99, "0.5": 0.4, "1": 0.1}, "spectrum": spectrum.tolist(),
    }  # fmt: skip
    return Inspection(numbers, z.double() @ axes[:, :2], ids, list(enumerate(texts)))


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_latent_figure(count):
    inspections = {f"kind {i}": inspection(1 / (1 + i), seed=i) for i in range(count)}
    figure = latent_figure(inspections)
    assert figure.get_figwidth() == WIDTH
    panels = [ax for ax in figure.axes if ax.get_xlabel() == "component 1"]
    assert len(panels) == count
    assert "%)" in panels[0].get_title()
    assert all(ax.get_title().startswith(f"({chr(97 + i)}) kind") for i, ax in enumerate(panels) if count > 1)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in panels}) == 1
    assert len(panels[0].collections) == 1 + 3  # the others, and each frequent token
    assert sum(len(ax.collections[0].get_offsets()) for ax in panels) == 56 * count
    [noise] = [ax for ax in figure.axes if "noise" in ax.get_title()]
    assert len(noise.get_lines()) == count
    [spectrum] = [ax for ax in figure.axes if "variance" in ax.get_title()]
    assert len(spectrum.get_lines()) == count + 1
    table = [text.get_text() for text in figure.axes[-1].texts]
    assert table.count("98.70%") == count
    assert "N(0, I), as many" in table
    assert ink(figure) > 0.02


def test_latent_figure_keeps_every_point_and_prints_every_text():
    odd = ("$x_1$", "中", "\\n", "␣" * 3)
    figure = latent_figure({"a $ name 中": inspection(texts=odd), "b" * 90: inspection(9.0, texts=("#1",))})
    assert ink(figure) > 0.02
    legend = figure.subfigs[0].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["\\$x_1\\$", "\\u4e2d", "\\n", "␣␣␣", "#1", "others"]
    low, high = figure.axes[0].get_xlim()
    for ax in figure.axes[:2]:
        for cloud in ax.collections:
            assert low < cloud.get_offsets().min() <= cloud.get_offsets().max() < high


def test_latent_figure_without_frequent_tokens_or_a_token_seen_often():
    one = inspection(texts=())
    one.numbers["token_variance"] = None
    figure = latent_figure({"one": one})
    assert "–" in [text.get_text() for text in figure.axes[-1].texts]
    assert ink(figure) > 0.02
    with pytest.raises(ValueError, match="at least one"):
        latent_figure({})


@pytest.mark.parametrize("count", [0, 1, len(COLOURS), len(COLOURS) + 1, 40])
def test_tokens_have_distinct_colours(count):
    assert len(set(token_colours(count))) == count
