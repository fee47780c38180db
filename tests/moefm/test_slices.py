"""Sliced W2: its laws, and POT's number."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moefm.diagnostics import w2
from moefm.slices import sliced_w2


def cloud(count, dim, seed):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def distance(x, y, directions=50):
    return sliced_w2(x, y, directions, torch.Generator().manual_seed(0))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_it_is_a_distance_of_clouds_of_any_sizes(n, m, dim, seed):
    x, y, z = cloud(n, dim, seed), cloud(m, dim, seed + 1), cloud(n + 1, dim, seed + 2)
    assert distance(x, y) == pytest.approx(distance(y, x))
    assert distance(x, x.repeat(3, 1)) == pytest.approx(0, abs=1e-7)
    assert distance(x, y) <= distance(x, z) + distance(z, y) + 1e-9
    assert distance(x, x + 2) == pytest.approx(2 * distance(torch.zeros(1, dim), torch.ones(1, dim)))


def test_on_a_line_it_is_w2():
    x, y = cloud(40, 1, 0), cloud(40, 1, 1) * 2
    assert distance(x, y) == pytest.approx(w2(x, y))


def test_it_is_the_number_of_pot():
    ot = pytest.importorskip("ot")
    x, y = cloud(30, 3, 0).double(), (cloud(50, 3, 1) + 0.5).double()
    theirs = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), n_projections=4000, seed=0)
    assert distance(x, y, 4000) == pytest.approx(float(theirs), rel=0.02)


def test_a_shift_counts_by_its_mean_over_directions():
    x = cloud(20, 4, 0)
    assert distance(x, x + torch.tensor([1.0, 0, 0, 0]), 4000) == pytest.approx(math.sqrt(1 / 4), rel=0.03)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(3), torch.zeros(3, 1), r"x must be finite points \(N, D\)"),
        (torch.zeros(3, 1), torch.full((2, 1), math.nan), "y must be finite"),
        (torch.zeros(0, 1), torch.zeros(2, 1), "x must"),
        (torch.zeros(3, 1), torch.zeros(3, 2), "as wide as x, got 2 and 1"),
    ],
)
def test_what_is_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        sliced_w2(x, y)


def test_directions_are_drawn_where_the_generator_is(monkeypatch, gen):
    devices, randn = [], torch.randn
    monkeypatch.setattr(torch, "randn", lambda *size, **options: (devices.append(options["device"]), randn(*size))[1])
    source = gen()
    sliced_w2(torch.zeros(3, 2), torch.ones(3, 2), generator=source)
    assert devices == [source.device]
