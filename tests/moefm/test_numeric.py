"""Arithmetic shared by the losses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moefm.numeric import clean, falling_fit, fill_between, interpolate, log_sum_exp, masked_mean, wide

MASK = torch.tensor([[True, False, True], [False, False, True]])
HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half_precision_is_widened_and_its_gradients_saturate(dtype):
    x = torch.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)
    assert wide(x).dtype == torch.float32
    # A factor beyond float16 (and inf, beyond both) must come back as the largest number of the dtype.
    grad = torch.autograd.grad(wide(x), x, torch.tensor([torch.inf, -torch.inf, 0.5]))[0]
    limit = torch.finfo(dtype).max
    assert grad.dtype == dtype and grad.tolist() == [limit, -limit, 0.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_wide_numbers_are_left_alone(dtype):
    x = torch.ones(3, dtype=dtype)
    assert wide(x) is x


@pytest.mark.parametrize("shape", [(3,), (5, 1), (2, 3, 4)])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_log_sum_exp_and_its_derivatives_are_those_of_torch(randn, shape, size):
    x = (size * randn(*shape, dtype=torch.float64)).requires_grad_()
    with torch.no_grad():
        x[..., 1:2] = -torch.inf
    if shape[-1] == 1:
        x = x.detach().requires_grad_()
    weight = randn(*shape[:-1], dtype=torch.float64)
    values, gradients, curvatures = [], [], []
    for function in (log_sum_exp, lambda x: torch.logsumexp(x, -1)):
        values.append(function(x))
        gradients.append(torch.autograd.grad((values[-1] * weight).sum(), x, create_graph=True)[0])
        curvatures.append(torch.autograd.grad(gradients[-1].square().sum(), x)[0])
    for ours, theirs in (values, gradients, curvatures):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("trailing", [(), (2,), (2, 4)])
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -torch.inf])
def test_clean_zeroes_what_the_mask_leaves_out(randn, trailing, garbage):
    x = randn(2, 3, *trailing)
    spoiled = x.clone()
    spoiled[~MASK] = garbage
    spoiled.requires_grad_()
    cleaned = clean(spoiled, MASK)
    assert torch.equal(cleaned[MASK], x[MASK]) and cleaned[~MASK].abs().max() == 0
    grad = torch.autograd.grad(cleaned.square().sum(), spoiled)[0]
    assert grad.isfinite().all() and grad[~MASK].abs().max() == 0
    assert clean(x, None) is x


def test_masked_mean(randn):
    values = randn(2, 3)
    torch.testing.assert_close(masked_mean(values, None), values.mean())
    torch.testing.assert_close(masked_mean(values.masked_fill(~MASK, torch.nan), MASK), values[MASK].mean())
    assert masked_mean(values, torch.zeros(2, 3, dtype=torch.bool)) == 0


def test_interpolation_by_hand():
    nodes, values = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([5.0, 7.0, 3.0])
    got = interpolate(torch.tensor([[-1.0, 0.0, 0.5], [1.0, 2.0, 9.0]]), nodes, values)
    assert torch.equal(got, torch.tensor([[5.0, 5.0, 6.0], [7.0, 5.0, 3.0]]))
    assert interpolate(torch.tensor([0.2, 2.0]), nodes[:1], values[:1]).tolist() == [5.0, 5.0]


def test_unknown_values_are_filled_from_their_neighbours():
    values = torch.tensor([9.0, 1.0, 9.0, 9.0, 4.0, 9.0])
    known = torch.tensor([False, True, False, False, True, False])
    assert fill_between(values, known).tolist() == [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]


@given(values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=12))
def test_the_falling_fit_is_that_of_scikit_learn(values):
    from sklearn.isotonic import isotonic_regression

    got = falling_fit(torch.tensor(values))
    assert (got.diff() <= 0).all()
    expected = torch.tensor(isotonic_regression(values, increasing=False).copy(), dtype=torch.float32)
    torch.testing.assert_close(got, expected, atol=1e-2, rtol=1e-4)
