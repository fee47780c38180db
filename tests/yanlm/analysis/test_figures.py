"""Latents on paper: the promised panels, nothing is empty, odd texts are printed."""

import warnings

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from yanlm.analysis.figures import latent_figure, token_colours
from yanlm.analysis.geometry import geometry, principal_components
from yanlm.analysis.latents import Inspection
from yanlm.figures import COLOURS, WIDTH


def ink(figure):
    """Share of pixels that are not white; whatever matplotlib warns of is an error."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas.draw()
    return float((np.asarray(canvas.buffer_rgba())[..., :3] < 250).any(-1).mean())


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
