"""Colours: experts differ from each other and from the data's grey, for colour-blind eyes as well."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from moefm_toy.palette import DATA, LINES, TITLES, colours_of, expert_colours
from moefm_toy.settings import IN_INFORMATION_TIME, METHODS

# Machado, Oliveira and Fernandes (2009), severity 1, in linear RGB.
EYES = {
    "usual": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])


def cielab(rgb, eye):
    rgb = np.asarray(rgb)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(EYES[eye]), 0, 1)
    ratio = seen @ XYZ.T / [0.95047, 1.0, 1.08883]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)


def distances(a, b, eye):
    return np.linalg.norm(cielab(a, eye)[:, None] - cielab(b, eye), axis=-1)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("count", [1, 2, 8, 12, 13, 20, 30, 64])
def test_no_expert_looks_like_the_data_or_the_paper(count, eye):
    experts = expert_colours(count)[:, :3].numpy()
    assert distances(experts, [to_rgb(DATA), (1, 1, 1)], eye).min() > 20


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize(("count", "least"), [(8, 30), (12, 16)])
def test_experts_are_told_apart(count, least, eye):
    experts = expert_colours(count)[:, :3].numpy()
    apart = distances(experts, experts, eye) + 999 * np.eye(count)
    assert apart.min() >= least


@pytest.mark.parametrize("count", [1, 2, 12, 13, 21, 64])
def test_experts_have_distinct_colours(count):
    assert len(torch.unique(expert_colours(count), dim=0)) == count


def test_samples_take_the_colour_of_their_expert(runs):
    method, other = runs[0].methods["moefm"], runs[0].methods["vfm"]
    colours = colours_of(method, torch.tensor([3, 0]))
    assert np.array_equal(colours, expert_colours(8)[[3, 0]].numpy())
    assert np.array_equal(colours_of(other, None), expert_colours(1).numpy())


def test_every_method_has_a_title_and_a_line():
    assert set(TITLES) == set(LINES) == {*METHODS, *IN_INFORMATION_TIME}
