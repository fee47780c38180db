"""Linear layers with one weight per expert."""

import pytest
import torch
from torch.nn import functional as F

from moefm.experts import Dispatch, ExpertLinear, check_index

INDEX = torch.tensor([2, 0, 2, 3, 0, 0, 2])  # expert 1 has no rows

# float32 and below through F.grouped_mm, float64 and a torch without it through a loop over the experts.
DTYPES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 3e-3}


@pytest.fixture(params=["grouped", "fallback"])
def kernel(request, monkeypatch):
    if request.param == "fallback":
        monkeypatch.delattr(F, "grouped_mm")
    elif not hasattr(F, "grouped_mm"):
        pytest.skip("this torch has no grouped_mm")


def make_layer(*sizes, dtype=torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ExpertLinear(*sizes).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width_in", [1, 3, 8, 50])
@pytest.mark.parametrize("width_out", [1, 2, 17])
def test_sorted_equals_a_loop_with_gradients(kernel, randn, dtype, width_in, width_out):
    layer, dispatch = make_layer(4, width_in, width_out, dtype=dtype), Dispatch(INDEX, 4)
    x = randn(7, width_in, dtype=dtype).requires_grad_()
    out = dispatch.scatter(layer.sorted(dispatch.gather(x), dispatch))
    assert out.dtype == dtype
    expected = torch.stack([F.linear(row, layer.weight[k], layer.bias[k]) for row, k in zip(x, INDEX, strict=True)])
    tolerance = {"rtol": DTYPES[dtype], "atol": DTYPES[dtype]}
    torch.testing.assert_close(out, expected, **tolerance)
    leaves = (x, layer.weight, layer.bias)
    actual = torch.autograd.grad(out.sum(), leaves)  # a gradient without strides, which some kernels refuse
    for a, b in zip(actual, torch.autograd.grad(expected.sum(), leaves), strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    assert actual[1][1].abs().max() == 0


def test_all_experts_at_once(randn):
    layer, x = make_layer(4, 3, 5), randn(2, 6, 3)
    expected = torch.stack([F.linear(x, w, b) for w, b in zip(layer.weight, layer.bias, strict=True)], -2)
    torch.testing.assert_close(layer.shared(x), expected)
    torch.testing.assert_close(layer(x.unsqueeze(-2).expand(2, 6, 4, 3)), expected)


def test_initialized_like_as_many_linear_layers():
    layer = make_layer(50, 16, 8)
    assert layer.weight.abs().max() <= 0.25
    assert layer.weight.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.05)
    assert layer.bias.abs().max() <= 0.25


@pytest.mark.parametrize("index", [INDEX, INDEX[:0], INDEX[:1], torch.zeros(5, dtype=torch.long)])
def test_dispatch_sorts_and_puts_back(randn, index):
    dispatch, rows = Dispatch(index, 4), randn(len(index), 3)
    assert dispatch.gather(index).tolist() == sorted(index.tolist())
    assert dispatch.counts.tolist() == torch.bincount(index, minlength=4).tolist()
    assert dispatch.ends[-1] == len(index)
    assert torch.equal(dispatch.scatter(dispatch.gather(rows)), rows)


def test_repr():
    assert repr(make_layer(4, 3, 2)) == "ExpertLinear(num_experts=4, in_features=3, out_features=2)"


def test_index_errors_say_the_range():
    check_index("index", torch.tensor([0, 3]), torch.Size([2]), 4)
    with pytest.raises(ValueError, match=r"index must lie in 0 \.\. 3, got values from -1 to 4"):
        check_index("index", torch.tensor([-1, 4]), torch.Size([2]), 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_recording_gives_the_same_and_asks_for_no_counts(randn, monkeypatch, dtype):
    layer, dispatch, rows = make_layer(4, 8, 16, dtype=dtype), Dispatch(INDEX, 4), randn(len(INDEX), 8, dtype=dtype)
    wanted = layer.sorted(rows, dispatch)
    monkeypatch.setattr("moefm.experts.capturing", lambda: True)
    dispatch.counts = None  # they would be copied to the host
    torch.testing.assert_close(layer.sorted(rows, dispatch), wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_forward_derivatives_are_those_of_reverse_mode(randn, dtype):
    layer, x = make_layer(4, 3, 2, dtype=dtype), randn(len(INDEX), 3, dtype=dtype)

    def chosen(x):
        dispatch = Dispatch(INDEX, 4)
        return dispatch.scatter(layer.sorted(dispatch.gather(x), dispatch))

    expected = torch.func.jacrev(chosen)(x)
    tolerance = {"atol": 1e-2, "rtol": 1e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(torch.func.jacfwd(chosen)(x), expected, **tolerance)
    tangent = torch.func.jvp(chosen, (x,), (torch.ones_like(x),))[1]
    torch.testing.assert_close(tangent, expected.sum((-2, -1)), **tolerance)
