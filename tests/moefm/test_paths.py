"""The path and the distributions of training times."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moefm import BetaTime, LogitNormalTime, UniformTime, ZeroInflatedTime, linear_path
from moefm.paths import expand_time


@given(seed=st.integers(0, 1000), t=st.floats(0, 1), batch=st.lists(st.integers(1, 3), max_size=3))
def test_linear_path_by_hand(seed, t, batch):
    g = torch.Generator().manual_seed(seed)
    z0, z1 = (torch.randn(*batch, 2, generator=g, dtype=torch.float64) for _ in range(2))
    path = linear_path(z0, z1, t)
    torch.testing.assert_close(path.z_t, z0 + t * (z1 - z0))
    torch.testing.assert_close(path.velocity, z1 - z0)


def test_ends_of_the_path_are_exact(randn):
    z0, z1 = randn(4, 2), randn(4, 2, seed=1)
    assert torch.equal(linear_path(z0, z1, 0.0).z_t, z0)
    assert torch.equal(linear_path(z0, z1, 1.0).z_t, z1)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (3, 1), (1, 3), (3, 3)])
def test_time_broadcasts_from_the_left_also_where_sizes_are_ambiguous(shape):
    """On a state (B, L, D) with B == L a time (B,) belongs to the rows, not to the positions."""
    t = torch.arange(1.0, 1 + max(1, torch.Size(shape).numel())).reshape(shape)
    expanded = expand_time(t, torch.zeros(3, 3, 2))
    assert expanded.shape == (3, 3, 1)
    for i in range(3):
        for j in range(3):
            index = tuple(min(k, size - 1) for k, size in zip((i, j), shape, strict=False))
            assert expanded[i, j, 0] == t[index]


def test_time_takes_dtype_of_the_state():
    assert expand_time(0.5, torch.zeros(2, 2, dtype=torch.float64)).dtype == torch.float64
    assert expand_time(torch.tensor([0, 1]), torch.zeros(2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(2,), (3, 4), (1, 3), (2, 3, 1), (3, 2, 1)])
def test_time_that_does_not_fit(shape):
    with pytest.raises(ValueError, match="t must broadcast over the leading dimensions"):
        expand_time(torch.zeros(shape), torch.zeros(3, 2, 5))


# Each sampler with the distribution function it must have.
SAMPLERS = {
    "uniform": (UniformTime(), lambda t: t),
    "beta(2,1)": (BetaTime(2.0, 1.0), lambda t: t**2),
    "beta(1,3)": (BetaTime(1.0, 3.0), lambda t: 1 - (1 - t) ** 3),
    "beta(.5,.5)": (BetaTime(0.5, 0.5), lambda t: 2 / torch.pi * t.sqrt().asin()),
    "logit-normal": (LogitNormalTime(0.5, 2.0), lambda t: torch.special.ndtr((t.logit() - 0.5) / 2)),
    "zero-inflated": (ZeroInflatedTime(0.3), lambda t: 0.3 + 0.7 * t),
    "zero-inflated beta": (ZeroInflatedTime(0.3, BetaTime(2.0, 1.0)), lambda t: 0.3 + 0.7 * t**2),
}
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


@every_sampler
def test_distribution_of_times(gen, name):
    sampler, cdf = SAMPLERS[name]
    n = 5000
    t = sampler((n,), generator=gen()).sort().values
    assert t.dtype == torch.float32
    assert 0 <= t.min() and t.max() <= 1
    inside = t > 0  # Kolmogorov's distance; an atom at 0 is seen by the first value above it
    rank = torch.arange(1, n + 1) / n
    assert (rank - cdf(t))[inside].abs().max() < 1.63 / n**0.5  # passes 99 in 100 seeds


@every_sampler
def test_shapes_and_seeds_of_times(gen, name):
    sampler = SAMPLERS[name][0]
    assert sampler(()).shape == ()
    assert sampler((0,)).shape == (0,)
    assert sampler(torch.Size([2, 3]), device="cpu").shape == (2, 3)
    assert torch.equal(sampler((9,), generator=gen(1)), sampler((9,), generator=gen(1)))
    assert not torch.equal(sampler((99,), generator=gen(1)), sampler((99,), generator=gen(2)))
    assert not torch.equal(sampler((99,)), sampler((99,)))


def test_extreme_exponents_stay_defined(gen):
    t = BetaTime(0.01, 0.01)((1000,), generator=gen())
    assert t.isfinite().all()
    assert ((t < 0.01) | (t > 0.99)).float().mean() > 0.9
    assert abs(t.mean() - 0.5) < 0.05


@pytest.mark.parametrize("share, zeros", [(0.0, 0), (1.0, 100)])
def test_extreme_shares(gen, share, zeros):
    assert (ZeroInflatedTime(share)((100,), generator=gen()) == 0).sum() == zeros


def test_a_class_is_no_base():
    with pytest.raises(
        TypeError, match=r"base must be an instance, got the class UniformTime: write UniformTime\(...\)"
    ):
        ZeroInflatedTime(0.1, UniformTime)
