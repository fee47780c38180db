"""Regularizers: MMD against a double loop, scale, gate entropy, load balance."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moefm import gate_entropy, load_balance, mmd2, normal_mmd2, scale_penalty
from moefm.regularizers import BANDWIDTHS


def kernel(a, b, bandwidths=BANDWIDTHS):
    d = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
    return sum(math.exp(-d / (2 * s * s)) for s in bandwidths)


def double_loop(x, y, bandwidths=BANDWIDTHS):
    """Appendix A.4, literally, in float64."""
    x, y = x.double().tolist(), y.double().tolist()
    n, m = len(x), len(y)
    within_x = sum(kernel(x[i], x[j], bandwidths) for i in range(n) for j in range(n) if i != j)
    within_y = sum(kernel(y[i], y[j], bandwidths) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(a, b, bandwidths) for a in x for b in y)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)


def vectorized(x, y):
    """The same with autograd, everything in memory at once."""

    def mean(a, b, pairs, same):
        d = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)
        k = sum(torch.exp(d / (-2 * s * s)) for s in BANDWIDTHS)
        return (k.sum() - (k.diagonal().sum() if same else 0)) / pairs

    n, m = len(x), len(y)
    return mean(x, x, n * (n - 1), True) + mean(y, y, m * (m - 1), True) - 2 * mean(x, y, n * m, False)


@pytest.fixture
def clouds(randn):
    def draw(n, m, dim, dtype=torch.float64):
        spread = 1.5 / dim**0.5  # so that every bandwidth has something to see
        return spread * randn(n, dim, dtype=dtype), spread * (0.3 + randn(m, dim, seed=1, dtype=dtype))

    return draw


# --- the value --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("block", [1, 7, 19, 2048])
@pytest.mark.parametrize("n, m, dim", [(23, 19, 2), (19, 23, 64), (2, 2, 2), (2, 30, 9)])
def test_mmd_is_the_double_loop(clouds, n, m, dim, block, dtype, tolerance):
    x, y = clouds(n, m, dim, dtype)
    value = mmd2(x, y, block=block)
    assert value.dtype == dtype
    assert value.item() == pytest.approx(double_loop(x, y), abs=tolerance)


def test_mmd_with_other_bandwidths(clouds):
    x, y = clouds(12, 15, 3)
    assert mmd2(x, y, [0.7, 3]).item() == pytest.approx(double_loop(x, y, [0.7, 3]), abs=1e-12)


def test_paper_s_bandwidths():
    assert BANDWIDTHS == (0.2, 0.5, 1.0, 2.0, 5.0)


@pytest.mark.parametrize("dim", [2, 64])
@pytest.mark.parametrize("distance", [0.0, 10.0, 1e4])
def test_mmd_of_clouds_far_from_each_other_and_from_the_origin(clouds, dim, distance):
    x, y = clouds(60, 50, dim, torch.float32)
    x, y = x + 100, y + 100 + distance
    assert mmd2(x, y).item() == pytest.approx(mmd2(x.double(), y.double()).item(), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_mmd_of_half_precision_is_computed_in_float32(clouds, dtype):
    x, y = clouds(20, 30, 12, dtype)
    assert mmd2(x, y) == mmd2(x.float(), y.float())


def test_mmd_under_autocast_stays_in_float32(clouds):
    x, y = clouds(20, 30, 12, torch.float32)
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = mmd2(x, y)
    assert value == mmd2(x, y) and value.dtype == torch.float32
    assert torch.equal(torch.autograd.grad(value, x)[0], torch.autograd.grad(mmd2(x, y), x)[0])


def test_mmd_flattens_and_masks(clouds):
    x, y = clouds(24, 30, 5)
    x, y = x.reshape(4, 6, 5), y.reshape(2, 15, 5)
    mask = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) < 0.7
    assert mmd2(x, y) == mmd2(x.flatten(0, 1), y.flatten(0, 1))
    for garbage in (torch.nan, torch.inf):
        spoiled = x.masked_fill(~mask.unsqueeze(-1), garbage).requires_grad_()
        value = mmd2(spoiled, y, mask=mask)
        torch.testing.assert_close(value.detach(), mmd2(x[mask], y.flatten(0, 1)))
        grad = torch.autograd.grad(value, spoiled)[0]
        assert grad.isfinite().all() and grad[~mask].abs().max() == 0


# --- the gradient -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 7, 2048])
@pytest.mark.parametrize("dim", [2, 64])
def test_mmd_gradient_is_autograd_of_the_naive_version(clouds, dim, block):
    x, y = (p.requires_grad_() for p in clouds(23, 19, dim))
    actual, expected = mmd2(x, y, block=block), vectorized(x, y)
    torch.testing.assert_close(actual, expected)
    for a, b in zip(torch.autograd.grad(actual, (x, y)), torch.autograd.grad(expected, (x, y)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("which", [0, 1])
def test_mmd_gradient_of_one_side(clouds, which):
    points = list(clouds(23, 19, 3))
    points[which].requires_grad_()
    grad = torch.autograd.grad(mmd2(*points), points[which])[0]
    torch.testing.assert_close(grad, torch.autograd.grad(vectorized(*points), points[which])[0])
    with torch.no_grad():
        assert not mmd2(*points).requires_grad


@pytest.mark.parametrize("dim", [2, 64])
def test_mmd_gradient_where_points_coincide(dim):
    x = torch.zeros(4, dim, requires_grad=True)
    grad = torch.autograd.grad(mmd2(x, torch.zeros(3, dim)), x)[0]
    assert grad.abs().max() == 0


# --- properties -------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), dim=st.sampled_from([1, 2, 9, 20]), shift=st.floats(-100, 100), data=st.data())
def test_mmd_does_not_see_translation_order_and_sides(seed, dim, shift, data):
    g = torch.Generator().manual_seed(seed)
    n, m, block = (data.draw(st.integers(2, 12)) for _ in range(3))
    x, y = (torch.randn(k, dim, generator=g, dtype=torch.float64) for k in (n, m))
    value = mmd2(x, y, block=block)
    torch.testing.assert_close(mmd2(x + shift, y + shift, block=block), value, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(mmd2(y, x, block=block), value)
    shuffled = x[torch.randperm(n, generator=g)], y[torch.randperm(m, generator=g)]
    torch.testing.assert_close(mmd2(*shuffled, block=block), value)


def test_mmd_is_unbiased(gen):
    """Of two clouds of one distribution it is zero on average, so it must be negative at times."""
    g = gen()
    values = torch.stack([mmd2(torch.randn(20, 2, generator=g), torch.randn(30, 2, generator=g)) for _ in range(500)])
    error = values.std() / 500**0.5
    assert abs(values.mean()) < 3 * error
    assert error < 0.01
    assert 0.2 < (values < 0).float().mean() < 0.8


def test_mmd_grows_with_the_difference(clouds):
    x, _ = clouds(200, 2, 2)
    values = [mmd2(x, x.flip(0) + shift).item() for shift in (0.0, 0.5, 1.0, 2.0, 5.0)]
    assert values == sorted(values)


MEMORY = """
import resource, torch
from moefm import mmd2

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch.set_num_threads(1)
g = torch.Generator().manual_seed(0)
mmd2(torch.randn(64, 512, generator=g).requires_grad_(), torch.randn(64, 512, generator=g)).backward()
x, y = torch.randn(5000, 512, generator=g).requires_grad_(), torch.randn(5000, 512, generator=g)
before = peak()
mmd2(x, y).backward()
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is reported in other units elsewhere")
def test_mmd_memory_is_bounded():
    """20000 x 512 points must stay under 1 GB extra. Here 5000, to save time: what grows with the number of points is
    a dozen copies of them, 370 MB for the 15000 left out. All pairs at once would take over 1 GB already here."""
    out = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 1000 - 370


# --- scale, entropy, balance ------------------------------------------------------------------------------------------

MASK = torch.tensor([[True, True, False], [True, False, True]])


def test_scale_penalty_by_hand(randn):
    z = randn(2, 3, 4)
    torch.testing.assert_close(scale_penalty(z), z.square().mean())
    torch.testing.assert_close(scale_penalty(z, MASK), z[MASK].square().mean())
    assert scale_penalty(torch.zeros(3, 2)) == 0


@pytest.mark.parametrize("experts", [1, 2, 7])
def test_entropy_bounds(randn, experts):
    assert gate_entropy(torch.zeros(5, experts)).item() == pytest.approx(math.log(experts), abs=1e-6)
    assert gate_entropy(100 * torch.eye(experts)).item() == pytest.approx(0, abs=1e-6)
    assert 0 <= gate_entropy(randn(50, experts)) <= math.log(experts) + 1e-6


@pytest.mark.parametrize("experts", [1, 2, 7])
def test_balance_bounds(randn, experts):
    assert load_balance(torch.zeros(5, experts)).item() == pytest.approx(0, abs=1e-6)
    sharp_but_balanced, collapsed = 100 * torch.eye(experts), torch.full((5, experts), -100.0)
    collapsed[:, 0] = 100
    assert load_balance(sharp_but_balanced).item() == pytest.approx(0, abs=1e-6)
    assert load_balance(collapsed).item() == pytest.approx(math.log(experts), abs=1e-6)
    assert -1e-6 <= load_balance(randn(50, experts)) <= math.log(experts)


def test_entropy_and_balance_by_hand(randn):
    logits = randn(2, 3, 4, dtype=torch.float64)
    for mask in (None, MASK):
        pi = (logits if mask is None else logits[mask]).softmax(-1).reshape(-1, 4)
        torch.testing.assert_close(gate_entropy(logits, mask), torch.special.entr(pi).sum(-1).mean())
        torch.testing.assert_close(load_balance(logits, mask), math.log(4) - torch.special.entr(pi.mean(0)).sum())


@pytest.mark.parametrize("function", [gate_entropy, load_balance])
def test_gradients_at_impossible_experts(function):
    for logits in (torch.tensor([[0.0, -torch.inf, 1.0]]), torch.tensor([[200.0, 0.0, -200.0]])):
        logits = logits.repeat(3, 1).requires_grad_()
        value = function(logits)
        assert value.isfinite()
        assert torch.autograd.grad(value, logits)[0].isfinite().all()


def test_balance_pushes_towards_the_neglected_expert():
    logits = torch.tensor([[3.0, 0.0]]).repeat(4, 1).requires_grad_()
    grad = torch.autograd.grad(load_balance(logits), logits)[0]
    assert (grad[:, 0] > 0).all() and (grad[:, 1] < 0).all()


@pytest.mark.parametrize("function", [scale_penalty, gate_entropy, load_balance])
def test_masks(function, randn):
    x = randn(2, 3, 4)
    expected = function(x[MASK])
    for garbage in (torch.nan, torch.inf, -torch.inf):
        spoiled = x.masked_fill(~MASK.unsqueeze(-1), garbage).requires_grad_()
        value = function(spoiled, MASK)
        torch.testing.assert_close(value.detach(), expected)
        grad = torch.autograd.grad(value, spoiled)[0]
        assert grad.isfinite().all() and grad[~MASK].abs().max() == 0
    nothing = function(spoiled, torch.zeros(2, 3, dtype=torch.bool))
    assert nothing == 0
    assert torch.autograd.grad(nothing, spoiled)[0].abs().max() == 0


@pytest.mark.parametrize("function", [scale_penalty, gate_entropy, load_balance])
def test_a_single_row_without_batch(function, randn):
    x = randn(4)
    torch.testing.assert_close(function(x), function(x.unsqueeze(0)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("function", [scale_penalty, gate_entropy, load_balance])
def test_half_precision_is_computed_in_float32(function, randn, dtype):
    x = randn(50, 4, dtype=dtype)
    assert function(x) == function(x.float())


# --- against a standard normal ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 3, 20])
def test_against_a_normal_it_is_the_mean_over_draws(clouds, randn, dim):
    x, _ = clouds(12, 1, dim)
    draws = [float(mmd2(x, randn(3000, dim, seed=seed, dtype=torch.float64))) for seed in range(8)]
    spread = torch.tensor(draws).std() / 8**0.5
    assert abs(float(normal_mmd2(x)) - sum(draws) / 8) < 5 * spread + 1e-12


def test_against_a_normal_by_quadrature():
    """In one dimension the integrals of the normal are sums over a fine grid."""
    x = torch.tensor([[-1.0], [0.3], [2.0]], dtype=torch.float64)
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    weight = torch.exp(-grid.square() / 2)
    weight = weight / weight.sum()

    def mean(a, wa, b, wb):
        d = (a[:, None] - b[None]).square()
        return sum(float(wa @ torch.exp(d / (-2 * s * s)) @ wb) for s in BANDWIDTHS)

    points = x.flatten()
    within = sum(kernel(x[i].tolist(), x[j].tolist()) for i in range(3) for j in range(3) if i != j) / 6
    third = torch.full((3,), 1 / 3, dtype=torch.float64)
    expected = within + mean(grid, weight, grid, weight) - 2 * mean(points, third, grid, weight)
    assert float(normal_mmd2(x)) == pytest.approx(expected, rel=1e-10)


def test_gradient_against_a_normal(clouds):
    x, _ = clouds(7, 1, 3)
    assert torch.autograd.gradcheck(lambda a: normal_mmd2(a, block=3), x.requires_grad_())


@given(seed=st.integers(0, 2**31), block=st.integers(1, 9))
def test_against_a_normal_turning_the_points_changes_nothing(seed, block):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 4, generator=g, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=g, dtype=torch.float64))
    assert float(normal_mmd2(x @ turn, block=block)) == pytest.approx(float(normal_mmd2(x)), abs=1e-12)


def test_against_a_normal_the_padding_counts_nothing(randn):
    x, mask = randn(4, 5, 3), torch.arange(5) < torch.tensor([[5], [3], [0], [1]])
    padded = x.masked_fill(~mask.unsqueeze(-1), math.nan)
    assert torch.equal(normal_mmd2(padded, mask=mask), normal_mmd2(x[mask]))
    with pytest.raises(ValueError, match="x must hold at least two points, got 1"):
        normal_mmd2(x, mask=mask & False | (torch.arange(20).reshape(4, 5) == 3))
    with pytest.raises(ValueError, match=r"x must be \(\*batch, D\), got \(3,\)"):
        normal_mmd2(x[0, 0])


def test_bandwidths_of_other_kinds(randn):
    x, y = randn(20, 2), randn(20, 2, seed=1)
    assert mmd2(x, y, np.array([1.0, 2.0])) == mmd2(x, y, (1.0, 2.0))
    for wrong in (1.0, [], np.array([])):
        with pytest.raises(ValueError, match="bandwidths must hold at least one positive number"):
            mmd2(x, y, wrong)
