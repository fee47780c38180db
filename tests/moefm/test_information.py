"""Information time: the time change, its measurement, and what it is for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moefm import InformationTime, ZeroInflatedTime

NOISE = st.floats(width=32, allow_nan=True, allow_infinity=True) | st.just(1.0)
CURVES = st.integers(2, 70).flatmap(lambda bins: st.lists(NOISE, min_size=bins, max_size=bins))


def cliff(t):
    """A loss that falls between t = 0.1 and t = 0.3 only."""
    return (1.5 - 5 * t).clamp(0, 1)


@pytest.fixture
def steep():
    t = torch.linspace(0, 1, 1000)
    return InformationTime().fit_from(t, cliff(t))


@pytest.mark.parametrize("bins", [2, 7, 64, 1000])
def test_a_linear_curve_is_uniform_time(bins):
    time = InformationTime(bins)
    t = torch.linspace(0, 1, 333)
    time.fit_from(time.centers, 3 - 2 * time.centers)
    torch.testing.assert_close(time.quantile(t), t, atol=1e-4, rtol=0)
    torch.testing.assert_close(time.cdf(t), t, atol=1e-4, rtol=0)


@pytest.mark.parametrize("curve", [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [math.nan] * 3, [-5.0, -5.0, -5.0]])
def test_a_curve_that_does_not_fall_is_uniform_time(curve):
    time = InformationTime(3)
    time.observe(time.centers, torch.tensor(curve))
    torch.testing.assert_close(time.grid(5), torch.linspace(0, 1, 6))


@settings(max_examples=50)
@given(curve=CURVES, uniform=st.floats(1e-3, 1), unseen=st.integers(0, 2**16))
def test_any_noisy_curve_gives_a_strictly_increasing_change(curve, uniform, unseen):
    time = InformationTime(len(curve), uniform=uniform)
    time.errors.copy_(torch.tensor(curve))
    time.counts.copy_(torch.tensor([not unseen >> i & 1 for i in range(len(curve))]))
    knots = time.knots()
    assert knots[0] == 0 and knots[-1] == 1
    assert (knots.diff() > 0).all()
    assert (time.grid(50).diff() > 0).all()
    u = torch.linspace(0, 1, 101)
    torch.testing.assert_close(time.cdf(time.quantile(u)), u, atol=2e-5, rtol=0)
    t = time.quantile(u.double())
    torch.testing.assert_close(time.quantile(time.cdf(t)), t, atol=1e-6, rtol=0)


@settings(max_examples=30)
@given(curve=CURVES)
def test_any_observations_leave_a_finite_curve(curve):
    time = InformationTime(5)
    errors = torch.tensor(curve)
    for _ in range(2):
        time.observe(torch.linspace(0, 1, len(errors)), errors)
    assert time.errors.isfinite().all()
    assert (time.knots().diff() > 0).all()


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 64])
def test_grids_end_exactly_and_share_the_loss_equally(steep, steps):
    grid = steep.grid(steps)
    assert grid.shape == (steps + 1,)
    assert grid[0] == 0 and grid[-1] == 1
    torch.testing.assert_close(steep.cdf(grid).diff(), torch.full((steps,), 1 / steps))


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("last", [1, 0.25, 0.01])
def test_the_last_step_may_be_short(steep, steps, last):
    grid = steep.grid(steps, last=last)
    assert grid[0] == 0 and grid[-1] == 1 and (grid.diff() > 0).all()
    shares = steep.cdf(grid).diff()
    torch.testing.assert_close(shares[:-1], shares[:1].expand(steps)[:-1])
    if steps > 1:
        torch.testing.assert_close(shares[-1] / shares[0], torch.tensor(float(last)), rtol=1e-3, atol=0)


def test_time_is_spent_where_the_loss_falls(steep, gen):
    t = steep((4000,), generator=gen())
    assert abs(((t > 0.08) & (t < 0.32)).float().mean() - (0.9 + 0.1 * 0.24)) < 0.02
    assert t.min() >= 0 and t.max() <= 1


def test_noise_before_the_loss_falls_takes_little_time(gen):
    """A running minimum would take the lowest of many noisy values for progress."""
    time = InformationTime(64, uniform=0.001)
    curve = (time.centers < 0.5).float() + 0.1 * torch.randn(64, generator=gen())
    time.fit_from(time.centers, curve)
    assert time.cdf(torch.tensor(0.45)) < 0.1


def test_unseen_bins_are_interpolated():
    full, holes = InformationTime(10), InformationTime(10)
    seen = torch.tensor([0, 1, 4, 8, 9])
    full.observe(full.centers, 1 - full.centers)
    holes.observe(holes.centers[seen], 1 - holes.centers[seen])
    torch.testing.assert_close(holes.knots(), full.knots())


def test_bins_unseen_at_the_ends_repeat_their_neighbour():
    time = InformationTime(4, uniform=0.001)
    time.observe(time.centers[1:3], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(time.knots(), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]), atol=1e-3, rtol=0)


def test_observe_converges_to_the_truth(gen):
    time = InformationTime(16)
    for step in range(1200):
        t = torch.rand(64, generator=gen(2 * step))
        time.observe(t, cliff(t) + 0.2 * torch.randn(64, generator=gen(2 * step + 1)))
    truth = InformationTime(16)
    t = torch.linspace(0, 1, 16001)
    truth.observe(t, cliff(t))
    assert (time.errors - truth.errors).abs().max() < 0.1
    assert (time.knots() - truth.knots()).abs().max() < 0.1
    assert int(time.counts.sum()) == 1200 * 64


def test_the_first_losses_set_a_bin_and_later_ones_enter_at_the_rate():
    time = InformationTime(2)
    time.observe(torch.tensor([0.1, 0.2]), torch.tensor([2.0, 4.0]))
    time.observe(torch.tensor([0.1, 0.4, 0.3]), torch.tensor([6.0, 6.0, 6.0]), rate=0.1)
    torch.testing.assert_close(time.errors, torch.tensor([3 + (1 - 0.9**3) * 3, 0.0]))
    assert time.counts.tolist() == [5, 0]


def test_losses_that_say_nothing_are_left_out():
    time = InformationTime(2)
    bad = torch.tensor([math.nan, math.inf, -math.inf, 1.0, 1.0, 1.0])
    time.observe(torch.tensor([0.1, 0.1, 0.1, -0.1, 1.1, math.nan]), bad)
    assert time.counts.tolist() == [0, 0]
    time.observe(torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 1.0]], requires_grad=True))
    assert time.counts.tolist() == [1, 1]
    assert time.errors.tolist() == [3.0, 1.0] and not time.errors.requires_grad


def test_losses_beyond_the_range_of_floats_are_left_out():
    """The sum of two of them is infinite, so their bin stays unknown."""
    t, huge = torch.tensor([0.1, 0.1, 0.9]), torch.tensor([3e38, 3e38, 1.0])
    time = InformationTime(2)
    time.observe(t, huge)
    assert time.counts.tolist() == [0, 1]
    time = InformationTime(3).fit_from(torch.tensor([0.1, 0.5, 0.9]), torch.tensor([2.0, 1.0, 0.0]))
    grid = time.grid(4)
    time.errors[1] = torch.inf
    torch.testing.assert_close(time.grid(4), grid)  # as if it lay between its neighbours


def test_counts_and_what_objectives_may_change():
    time = InformationTime(2)
    time.observe(torch.full((40_000,), 0.1), torch.ones(40_000))
    assert time.counts.tolist() == [32_768, 0] and time.learn
    time.fit_from(torch.full((40_000,), 0.1), torch.ones(40_000))
    assert time.counts.tolist() == [32_768, 1] and not time.learn


def test_scale_and_offset_of_the_loss_do_not_matter(steep):
    t = torch.linspace(0, 1, 1000)
    other = InformationTime().fit_from(t.flip(0), 7e20 * (cliff(t).flip(0) - 2))
    torch.testing.assert_close(other.knots(), steep.knots(), atol=1e-5, rtol=0)


def test_it_is_a_time_sampler(steep, gen):
    assert steep(()).shape == ()
    assert steep(torch.Size([2, 3]), device="cpu").shape == (2, 3)
    assert torch.equal(steep((9,), generator=gen(1)), steep((9,), generator=gen(1)))
    inflated = ZeroInflatedTime(0.5, base=steep)((1000,), generator=gen())
    assert abs((inflated == 0).float().mean() - 0.5) < 0.05
    assert inflated.quantile(0.8) < 0.3


def test_the_curve_travels_with_the_state(steep):
    other = InformationTime()
    other.load_state_dict(steep.state_dict())
    assert torch.equal(other.grid(9), steep.grid(9))
    assert not torch.equal(InformationTime().grid(9), steep.grid(9))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(steep, dtype):
    u = torch.tensor([0.0, 0.3, 1.0], dtype=dtype)
    t = steep.quantile(u)
    assert t.dtype == dtype and t[0] == 0 and t[-1] == 1
    torch.testing.assert_close(t.float(), steep.quantile(u.float()), atol=1e-2, rtol=0)
    cast = InformationTime().to(dtype)
    cast.observe(u, u)
    assert cast.counts.sum() == 3 and (cast.knots().diff() > 0).all()


def test_many_dimensions_decide_early(gen):
    grids = [
        InformationTime.from_codebook(torch.randn(64, dim, generator=gen()), generator=gen(1)).grid(2)
        for dim in (4, 64, 1024)
    ]
    middles = [float(grid[1]) for grid in grids]
    assert middles == sorted(middles, reverse=True)
    assert middles[-1] < 0.1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: InformationTime(1), "bins must be an integer of at least 2, got 1"),
        (lambda: InformationTime(1001), "bins must be an integer from 2 to 1000, got 1001"),
        (lambda: InformationTime(uniform=0), "uniform must be a share from 0.001 to 1, got 0"),
        (lambda: InformationTime().grid(0), "steps must be an integer of at least 1, got 0"),
        (lambda: InformationTime().grid(2, last=0), "last must be a finite number above 0, got 0"),
        (lambda: InformationTime().grid(2, last=1.5), "last must be a share from 0 to 1, got 1.5"),
        (lambda: InformationTime().observe(torch.ones(2), torch.ones(3)), "errors must have the shape of t"),
        (lambda: InformationTime().observe(torch.ones(2), torch.ones(2), rate=2), "rate must be a share"),
        (lambda: InformationTime().fit_from(torch.ones(2), torch.ones(3)), "must be vectors of one length"),
        (lambda: InformationTime().fit_from(torch.ones(2), torch.ones(2) / 0), "errors must be finite"),
        (lambda: InformationTime.from_codebook(torch.ones(3)), "codebook must hold finite vectors"),
        (lambda: InformationTime.from_codebook(torch.eye(3), samples=0), "samples must be"),
        (lambda: InformationTime.from_codebook(torch.eye(3), probabilities=torch.ones(2)), "probabilities must be 3"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
