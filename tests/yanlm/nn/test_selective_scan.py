"""The selective scan: a naive float64 loop, gradients, extreme step sizes, precision, and which kernel is chosen."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from yanlm.nn.selective_scan import scan_states, selective_scan

NAMES = ("x", "dt", "A", "B", "C", "D", "z")


def naive(x, dt, A, B, C, D=None, z=None):
    """The recurrence, literally, left to autograd."""
    h, ys = x.new_zeros(x.shape[0], *A.shape), []
    for t in range(x.shape[1]):
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * x[:, t])[..., None] * B[:, t, None]
        ys.append((h * C[:, t, None]).sum(-1))
    y = torch.stack(ys, 1)
    y = y if D is None else y + D * x
    return y if z is None else y * F.silu(z)


def inputs(batch=2, length=7, channels=3, states=4, dtype=torch.float64, seed=0, step=0.1):
    g = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    dt = step * randn(batch, length, channels).exp()
    A = -(1 + torch.arange(states) + 0.1 * randn(channels, states)).exp2() / 2
    x, z = randn(batch, length, channels), randn(batch, length, channels)
    B, C, D = randn(batch, length, states), randn(batch, length, states), randn(channels)
    return [tensor.to(dtype).requires_grad_() for tensor in (x, dt, A, B, C, D, z)]


def gradients(f, args, seed=5):
    y = f(*args)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return y.detach(), torch.autograd.grad(y, args, weight.to(y.dtype))


def assert_relative(given, expected, tolerance):
    scale = expected.abs().max().clamp_min(1e-30)
    assert float((given.double() - expected.double()).abs().max() / scale) <= tolerance


# --- values and gradients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("segment", [None, 1, 3, 7, 100])
def test_gradcheck(segment):
    assert torch.autograd.gradcheck(lambda *args: selective_scan(*args, segment=segment), inputs())


def test_gradcheck_without_skip_and_gate():
    assert torch.autograd.gradcheck(selective_scan, inputs()[:5])


@pytest.mark.parametrize(
    "shape", [(2, 50, 8, 4), (1, 1, 1, 1), (1, 33, 5, 1), (3, 64, 16, 16), (4, 200, 32, 16)], ids=str
)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-6)], ids=str)
def test_is_the_naive_float64_loop(shape, dtype, tolerance):
    expected, expected_grads = gradients(naive, inputs(*shape))
    y, grads = gradients(selective_scan, inputs(*shape, dtype=dtype))
    assert_relative(y, expected, tolerance)
    for name, grad, reference in zip(NAMES, grads, expected_grads, strict=True):
        assert grad.shape == reference.shape and grad.dtype == dtype, name
        assert_relative(grad, reference, tolerance)


@given(
    shape=st.tuples(*(st.integers(1, high) for high in (3, 40, 5, 5))),
    segment=st.integers(1, 50),
    seed=st.integers(0, 2**31),
)
def test_any_segment_gives_the_same(shape, segment, seed):
    args = inputs(*shape, seed=seed)
    expected, expected_grads = gradients(naive, args)
    y, grads = gradients(lambda *a: selective_scan(*a, segment=segment), args)
    assert_relative(y, expected, 1e-12)
    for grad, reference in zip(grads, expected_grads, strict=True):
        assert_relative(grad, reference, 1e-11)


@pytest.mark.parametrize("step", [1e-6, 1e-2, 1.0, 30.0, 1e4])
def test_exact_at_every_step_size(step):
    shape = (2, 100, 8, 16)
    expected, expected_grads = gradients(naive, inputs(*shape, step=step))
    y, grads = gradients(selective_scan, inputs(*shape, dtype=torch.float32, step=step))
    assert_relative(y, expected, 2e-6)
    for name, grad, reference in zip(NAMES, grads, expected_grads, strict=True):
        if name == "A" and step >= 30:  # vanishes: float32 underflows where float64 does not yet
            assert grad.isfinite().all()
            continue
        assert_relative(grad, reference, 2e-6)


def test_forgetting_is_complete_at_large_steps():
    """A huge step erases the past: what follows equals a scan that starts there."""
    x, dt, A, B, C, *_ = (tensor.detach() for tensor in inputs(1, 40, 4, 4, torch.float32))
    dt[:, 20] = 1e4
    y = selective_scan(x, dt, A, B, C)
    assert torch.equal(y[:, 20:], selective_scan(x[:, 20:], dt[:, 20:], A, B[:, 20:], C[:, 20:]))


# --- graph ------------------------------------------------------------------------------------------------------------


def test_backward_twice_gives_the_same_and_leaves_the_inputs():
    args = inputs(dtype=torch.float32)
    before = [tensor.detach().clone() for tensor in args]
    y = selective_scan(*args, segment=2).sum()
    first = torch.autograd.grad(y, args, retain_graph=True)
    second = torch.autograd.grad(y, args)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, args, strict=True))


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_gradient_of_one_input_alone(index):
    everything = gradients(selective_scan, inputs())[1][index]
    args = [tensor.detach() for tensor in inputs()]
    args[index].requires_grad_()
    y = selective_scan(*args)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert torch.equal(torch.autograd.grad(y, args[index], weight)[0], everything)


def test_without_gradients():
    args = inputs()
    expected = selective_scan(*args).detach()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            y = selective_scan(*args)
        assert not y.requires_grad and torch.equal(y, expected)


def test_expanded_and_transposed_inputs():
    x, dt, A, B, C, D, z = (tensor.detach() for tensor in inputs(2, 9, 4, 3))
    views = [tensor.mT.contiguous().mT for tensor in (x, dt, A, B, C)]
    assert torch.equal(selective_scan(*views, D, z), selective_scan(x, dt, A, B, C, D, z))
    ones = torch.ones(1, 1, 1, dtype=torch.float64)
    expanded = selective_scan(x, ones.expand_as(x), A, ones.expand_as(B), C)
    assert torch.equal(expanded, selective_scan(x, torch.ones_like(x), A, torch.ones_like(B), C))


@pytest.mark.parametrize("shape", [(2, 0, 3, 4), (0, 5, 3, 4)], ids=["no steps", "no rows"])
def test_empty(shape):
    args = inputs(*shape)
    y = selective_scan(*args)
    assert y.shape == shape[:3]
    y.sum().backward()
    assert all(tensor.grad is not None and not tensor.grad.any() for tensor in args)


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(dtype):
    args = [tensor.detach() for tensor in inputs(2, 40, 8, 4, dtype)]
    y = selective_scan(*args)
    assert y.dtype == dtype
    assert torch.equal(y, selective_scan(*(tensor.float() for tensor in args)).to(dtype))


def test_autocast_changes_nothing():
    args = inputs(2, 40, 8, 4, torch.float32)
    expected, expected_grads = gradients(selective_scan, args)
    with torch.autocast("cpu", torch.bfloat16):
        y, grads = gradients(selective_scan, args)  # the backward pass inside autocast too
    assert y.dtype == torch.float32 and torch.equal(y, expected)
    assert all(torch.equal(a, b) for a, b in zip(grads, expected_grads, strict=True))


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index, shape, message",
    [
        (0, (2, 7), r"x must have shape \(B, L, D\), got \(2, 7\)"),
        (1, (2, 7, 4), r"dt must have shape \(B, L, D\) = \(2, 7, 3\), got \(2, 7, 4\)"),
        (2, (4, 4), r"A must have shape \(D, N\) with D = 3, got \(4, 4\)"),
        (3, (2, 6, 4), r"B must have shape \(B, L, N\) = \(2, 7, 4\)"),
        (4, (2, 7, 5), r"C must have shape \(B, L, N\) = \(2, 7, 4\)"),
        (5, (4,), r"D must have shape \(D,\) = \(3,\)"),
        (6, (2, 7, 1), r"z must have shape \(B, L, D\) = \(2, 7, 3\)"),
    ],
)
def test_shapes_are_checked(index, shape, message):
    args = [tensor.detach() for tensor in inputs()]
    args[index] = torch.ones(shape)
    with pytest.raises(ValueError, match=message):
        selective_scan(*args)


@pytest.mark.parametrize("segment", [0, -1, 1.5, True])
def test_segment_is_checked(segment):
    with pytest.raises(ValueError, match="segment must be an integer of at least 1"):
        selective_scan(*inputs(), segment=segment)


def test_the_operation_keeps_the_rules_of_operations():
    """Its schema, its fake kernel, its gradients: what the compiler relies on."""
    torch.library.opcheck(scan_states, (*inputs()[:5], 3, True), test_utils=("test_schema", "test_faketensor"))


def test_second_derivatives_are_refused():
    x, dt, A, B, C = inputs(1, 4, 2, 2)[:5]
    [first] = torch.autograd.grad(selective_scan(x, dt, A, B, C).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        first.sum().backward()
