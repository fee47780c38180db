"""Diagnostics against brute force and closed forms."""

import itertools
import math

import pytest
import torch

from moefm.diagnostics import (
    dead_experts,
    effective_experts,
    excess_w2,
    expert_usage,
    nearest_distance,
    off_support,
    path_ratio,
    straightness,
    w2,
)


@pytest.mark.parametrize("seed", range(4))
def test_w2_equals_brute_force(randn, seed):
    x, y = randn(6, 2, seed=seed), randn(6, 2, seed=seed + 50)
    best = min((x - y[list(p)]).square().sum(-1).mean().item() for p in itertools.permutations(range(6)))
    assert w2(x, y) == pytest.approx(math.sqrt(best), rel=1e-5)


def test_w2_is_a_distance(randn):
    x, y = randn(50, 3), randn(50, 3, seed=1)
    assert w2(x, x.flip(0)) == pytest.approx(0, abs=1e-6)
    assert w2(x, y) == pytest.approx(w2(y, x))
    assert w2(x, x + torch.tensor([3.0, 4.0, 0.0])) == pytest.approx(5, rel=1e-5)


def test_excess_w2():
    assert excess_w2(0.5, 0.3) == pytest.approx(0.4)
    assert excess_w2(0.2, 0.3) == 0
    assert excess_w2(0.3, 0.0) == pytest.approx(0.3)


@pytest.mark.parametrize("block", [1, 7, 2048])
def test_nearest_distance_by_hand(randn, block):
    x, y = randn(20, 3), randn(30, 3, seed=1)
    expected = (x.unsqueeze(1) - y).norm(dim=-1).min(1).values
    torch.testing.assert_close(nearest_distance(x, y, block), expected)


def test_fresh_data_is_off_support_one_percent_of_the_time(randn):
    data, fresh, more = (randn(3000, 2, seed=s) for s in range(3))
    assert off_support(more, data, fresh) == pytest.approx(0.01, abs=0.006)
    assert off_support(more, data, fresh, quantile=0.9) == pytest.approx(0.1, abs=0.02)


def test_off_support_extremes(randn):
    data, fresh = randn(500, 2), randn(500, 2, seed=1)
    assert off_support(data + 100, data, fresh) == 1
    assert off_support(data[:1].expand(20, 2), data, fresh) == 0  # a collapsed sampler is not punished


def quarter_circle(steps):
    """From (1, 0) to (0, 1) at constant speed pi/2."""
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    angle = t * math.pi / 2
    return torch.stack([angle.cos(), angle.sin()], -1).unsqueeze(1), t


def test_straightness_and_path_ratio_of_a_quarter_circle():
    curve, t = quarter_circle(2000)
    # |chord|^2 = 2, |velocity|^2 = (pi/2)^2, and the mean velocity is the chord.
    assert straightness(curve, t) == pytest.approx((math.pi / 2) ** 2 / 2 - 1, rel=1e-5)
    assert path_ratio(curve) == pytest.approx(math.pi / 2 / math.sqrt(2), rel=1e-5)


@pytest.mark.parametrize("power", [2, 3])
def test_a_straight_line_at_changing_speed_is_not_straight_in_time(power):
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    line = (t**power)[:, None, None] * torch.tensor([[3.0, 4.0]])
    assert straightness(line, t) == pytest.approx(power**2 / (2 * power - 1) - 1, rel=1e-3)
    assert path_ratio(line) == pytest.approx(1)


def test_straightness_weighs_trajectories_by_their_length():
    curve, t = quarter_circle(500)
    line = t[:, None, None] * torch.tensor([[10.0, 0.0]])
    both = torch.cat([curve, line], 1)
    share = 2 / (2 + 100)
    assert straightness(both, t) == pytest.approx(share * straightness(curve, t), rel=1e-6)


def test_uneven_times():
    t = torch.linspace(0, 1, 30, dtype=torch.float64) ** 2
    assert straightness(t[:, None, None] * torch.ones(4, 2), t) == pytest.approx(0, abs=1e-12)


def test_trajectories_of_sequences(randn):
    t = torch.linspace(0, 1, 6)
    trajectory = randn(6, 2, 3, 4)
    assert straightness(trajectory, t) == pytest.approx(straightness(trajectory.flatten(1, 2), t))
    assert path_ratio(trajectory) == pytest.approx(path_ratio(trajectory.flatten(1, 2)))
    assert path_ratio(trajectory) > 1


def test_usage_effective_and_dead_experts():
    usage = expert_usage(torch.tensor([[0, 0, 1], [3, 0, 1]]), 5)
    torch.testing.assert_close(usage, torch.tensor([3.0, 2.0, 0.0, 1.0, 0.0]) / 6)
    assert dead_experts(usage) == 2
    assert 3 > effective_experts(usage) > 2
    for k in (1, 2, 8):
        assert effective_experts(torch.full((k,), 1 / k)) == pytest.approx(k, rel=1e-6)
    assert effective_experts(torch.tensor([0.0, 1.0, 0.0])) == pytest.approx(1)


def test_dead_means_far_below_an_equal_share():
    usage = torch.tensor([0.996, 0.002, 0.002])
    assert dead_experts(usage) == 2  # below 0.01 / 3
    assert dead_experts(usage, threshold=0.005) == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_off_support_takes_any_precision(dtype):
    g = torch.Generator().manual_seed(0)  # in one draw of a hundred there is no data near the middle
    data, fresh = torch.rand(200, 2, generator=g).to(dtype), torch.rand(100, 2, generator=g)
    assert off_support(torch.tensor([[0.5, 0.5], [3.0, 3.0]], requires_grad=True), data, fresh) == 0.5


@pytest.mark.parametrize("assignment", [torch.zeros(3), torch.zeros(3, dtype=torch.bool)])
def test_experts_are_integers(assignment):
    with pytest.raises(TypeError, match="assignment must hold integers, got torch"):
        expert_usage(assignment, 2)
