"""Mamba mixers: parity with transformers and mamba_ssm, causality, padding, both directions."""

import copy
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from yanlm.nn import mamba as module
from yanlm.nn import selective_scan as scan_module
from yanlm.nn.mamba import BiMamba, Mamba
from yanlm.nn.mamba_kernels import Kernels, kernels

MIXERS = (Mamba, BiMamba)


def build(mixer, d_model=12, seed=0, **sizes):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return mixer(d_model, **{"d_state": 4, **sizes})


def tokens(batch=2, length=7, d_model=12, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, d_model, generator=g, dtype=torch.float64).to(dtype)


def lengths_mask(lengths, length):
    return torch.arange(length) < torch.tensor(lengths)[:, None]


# --- the same model as everybody else's -------------------------------------------------------------------------------


def test_parameters_are_those_of_mamba_ssm():
    shapes = {name: tuple(p.shape) for name, p in Mamba(24, d_state=5, d_conv=3).state_dict().items()}
    assert shapes == {
        "A_log": (48, 5),
        "D": (48,),
        "in_proj.weight": (96, 24),
        "conv1d.weight": (48, 1, 3),
        "conv1d.bias": (48,),
        "x_proj.weight": (12, 48),
        "dt_proj.weight": (48, 2),
        "dt_proj.bias": (48,),
        "out_proj.weight": (24, 48),
    }
    names = list(shapes)
    both = [f"{side}.{name}" for side in ("forward_mixer", "backward_mixer") for name in names]
    assert list(BiMamba(24).state_dict()) == [*both, "proj.weight", "proj.bias"]


def test_initialization():
    mixer = build(Mamba, 64, d_state=16)
    sizes = F.softplus(mixer.dt_proj.bias.detach().double())
    assert 0.99e-3 <= float(sizes.min()) < 2e-3 and 0.05 < float(sizes.max()) <= 0.1001
    assert abs(float(sizes.log().mean()) - math.log(1e-2)) < 0.3
    assert torch.allclose(mixer.A_log.exp(), torch.arange(1.0, 17).expand(128, 16))
    assert torch.equal(mixer.D, torch.ones(128))
    assert float(mixer.dt_proj.weight.detach().abs().max()) <= mixer.dt_rank**-0.5
    assert mixer.dt_rank == 4 and Mamba(65).dt_rank == 5 and Mamba(65, dt_rank=3).dt_rank == 3
    assert mixer.A_log._no_weight_decay and mixer.D._no_weight_decay and mixer.dt_proj.bias._no_reinit


def test_initialization_can_be_repeated():
    mixer = build(Mamba, 64)
    weight = mixer.in_proj.weight.clone()
    with torch.no_grad():
        for parameter in (mixer.dt_proj.weight, mixer.dt_proj.bias, mixer.A_log, mixer.D):
            parameter.fill_(torch.nan)
    mixer.reset_state_space()
    assert all(p.isfinite().all() for p in mixer.parameters())
    assert torch.equal(mixer.in_proj.weight, weight)


@pytest.mark.parametrize("sizes", [{}, {"d_state": 1, "d_conv": 1, "expand": 1}, {"d_conv": 3, "dt_rank": 5}], ids=str)
def test_parity_with_transformers(sizes):
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    ours = build(Mamba, **sizes).double()
    config = MambaConfig(
        hidden_size=12,
        state_size=ours.d_state,
        conv_kernel=ours.d_conv,
        expand=ours.expand,
        intermediate_size=ours.d_inner,
        time_step_rank=ours.dt_rank,
        num_hidden_layers=1,
    )
    theirs = MambaMixer(config, 0).eval().double()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    build(Mamba, **sizes, seed=1).load_state_dict(theirs.state_dict(), strict=True)
    x = tokens(dtype=torch.float64).requires_grad_()
    y, reference = ours(x), theirs(x)
    assert torch.allclose(y, reference, rtol=1e-5, atol=1e-7)  # theirs computes A and the products in float32
    parameters = dict(ours.named_parameters())
    grads = torch.autograd.grad(y.square().sum(), [x, *parameters.values()])
    others = dict(theirs.named_parameters())
    expected = torch.autograd.grad(reference.square().sum(), [x, *(others[name] for name in parameters)])
    for name, grad, other in zip(["x", *parameters], grads, expected, strict=True):
        assert torch.allclose(grad, other, rtol=1e-4, atol=1e-6), name


def stand_in():
    """mamba_ssm's and causal_conv1d's functions by their documentation: channels before time, step sizes inside."""

    def scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        assert {u.dtype, delta.dtype, A.dtype, B.dtype, C.dtype, D.dtype, z.dtype, delta_bias.dtype} == {torch.float32}
        assert (
            delta_softplus
            and u.shape == delta.shape == z.shape
            and B.shape == C.shape == (len(u), *A.shape[1:], u.shape[2])
        )
        delta = F.softplus(delta + delta_bias[:, None])
        h, ys = u.new_zeros(len(u), *A.shape), []
        for t in range(u.shape[2]):
            h = (delta[:, :, t, None] * A).exp() * h + (delta * u)[:, :, t, None] * B[:, None, :, t]
            ys.append((h * C[:, None, :, t]).sum(-1) + D * u[:, :, t])
        return torch.stack(ys, 2) * F.silu(z)

    def convolve(x, weight, bias=None, activation=None):
        assert activation == "silu" and x.dtype == weight.dtype == bias.dtype and x.is_contiguous()
        width = weight.shape[1]
        return F.silu(F.conv1d(F.pad(x, (width - 1, 0)), weight.unsqueeze(1), bias, groups=len(weight)))

    return Kernels(scan, convolve, "")


@pytest.mark.parametrize("autocast", [False, True])
def test_kernels_are_called_as_they_expect(monkeypatch, autocast):
    mixer, x = build(BiMamba), tokens().requires_grad_()
    mask = lengths_mask([4, 7], 7)

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = mixer(x, mask)
        return y, *torch.autograd.grad(y.float().square().sum(), [x, *mixer.parameters()])

    expected = run()
    for place in (module, scan_module):
        monkeypatch.setattr(place, "kernels", lambda device: stand_in())
    for given_, reference in zip(run(), expected, strict=True):
        tolerance = (2e-2 if autocast else 1e-5) * float(reference.detach().abs().max())
        assert torch.allclose(given_, reference, rtol=0, atol=tolerance)


@pytest.mark.cuda
@pytest.mark.skipif(kernels().scan is None, reason=f"mamba_ssm's kernels: {kernels().why}")
@pytest.mark.parametrize("mixer", MIXERS)
def test_parity_with_mamba_ssm(mixer, monkeypatch):
    """Their kernels and our scan on the same GPU, values and gradients."""
    ours = build(mixer, 64, d_state=16).cuda()
    x = tokens(3, 100, 64).cuda().requires_grad_()
    mask = lengths_mask([100, 37, 1], 100).cuda()

    def run():
        y = ours(x, mask)
        return y, *torch.autograd.grad(y.square().sum(), [x, *ours.parameters()])

    fast = run()
    for place in (module, scan_module):
        monkeypatch.setattr(place, "kernels", lambda device: Kernels(None, None, ""))
    for given_, reference in zip(fast, run(), strict=True):
        assert torch.allclose(given_, reference, rtol=1e-3, atol=1e-4 * float(reference.detach().abs().max()))


@pytest.mark.cuda
@pytest.mark.skipif(kernels().scan is None, reason=f"mamba_ssm's kernels: {kernels().why}")
def test_weights_load_into_mamba_ssm():
    from mamba_ssm import Mamba as Theirs

    ours = build(Mamba, 64, d_state=16).cuda()
    theirs = Theirs(64, d_state=16).cuda()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    build(Mamba, 64, d_state=16, seed=1).load_state_dict(theirs.state_dict(), strict=True)
    x = tokens(3, 100, 64).cuda()
    assert torch.allclose(ours(x), theirs(x), rtol=1e-3, atol=1e-4)


# --- who sees whom ----------------------------------------------------------------------------------------------------


def test_forward_direction_is_causal():
    mixer, x = build(Mamba), tokens()
    changed = x.clone()
    changed[:, 4] += 1
    y, other = mixer(x), mixer(changed)
    assert torch.equal(y[:, :4], other[:, :4]) and not torch.isclose(y[:, 4:], other[:, 4:]).all(-1).any()


def test_both_directions_see_everything():
    mixer, x = build(BiMamba), tokens(1).requires_grad_()
    for t in range(7):
        grad = torch.autograd.grad(mixer(x)[0, t].square().sum(), x)[0]
        assert (grad.abs().sum(-1) > 0).all()


def test_reversing_a_text_swaps_the_directions():
    mixer, x = build(BiMamba), tokens()
    swapped = copy.deepcopy(mixer)
    swapped.forward_mixer, swapped.backward_mixer = swapped.backward_mixer, swapped.forward_mixer
    with torch.no_grad():
        swapped.proj.weight.copy_(mixer.proj.weight.roll(12, 1))
    assert torch.allclose(swapped(x.flip(1)).flip(1), mixer(x), atol=1e-6)


# --- padding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixer", MIXERS)
@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_a_text_alone_is_the_text_in_a_batch(mixer, lengths, seed):
    model, x = build(mixer), tokens(len(lengths), 9, seed=seed)
    mask = lengths_mask(lengths, 9)
    y = model(x.masked_fill(~mask[..., None], torch.nan), mask)
    assert not y[~mask].any()
    for row, length in enumerate(lengths):
        if length:
            assert torch.allclose(y[row, :length], model(x[row : row + 1, :length])[0], atol=1e-6)


@pytest.mark.parametrize("mixer", MIXERS)
def test_gradients_ignore_padding(mixer):
    model, lengths = build(mixer), [3, 7, 0]
    mask = lengths_mask(lengths, 7)
    x = tokens(3).masked_fill(~mask[..., None], torch.nan).requires_grad_()
    grads = torch.autograd.grad(model(x, mask).square().sum(), [x, *model.parameters()])
    assert not grads[0][~mask].any()
    alone = sum(model(x[row : row + 1, :n]).square().sum() for row, n in enumerate(lengths) if n)
    expected = torch.autograd.grad(alone, list(model.parameters()))
    for grad, reference in zip(grads[1:], expected, strict=True):
        assert torch.allclose(grad, reference, rtol=1e-4, atol=1e-6 * (1 + float(reference.abs().max())))


@pytest.mark.parametrize("mixer", MIXERS)
def test_all_valid_is_no_mask(mixer):
    model, x = build(mixer), tokens()
    assert torch.equal(model(x, torch.ones(2, 7, dtype=torch.bool)), model(x))


@pytest.mark.parametrize("mixer", MIXERS)
def test_padding_may_stand_anywhere(mixer):
    model, x = build(mixer), tokens(3)
    mask = torch.tensor([[0, 0, 1, 1, 1, 0, 0], [1, 0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0, 1]], dtype=torch.bool)
    y = model(x.masked_fill(~mask[..., None], torch.nan), mask)
    assert y.isfinite().all() and not y[~mask].any()
    for row, keep in enumerate(mask):
        assert torch.allclose(y[row, keep], model(x[row : row + 1, keep])[0], atol=1e-6)


@pytest.mark.parametrize("mixer", MIXERS)
def test_where_values_cannot_be_looked_at_the_result_is_the_same(mixer, monkeypatch):
    model, x = build(mixer), tokens(4)
    mask = torch.arange(7) < torch.tensor([7, 3, 1, 0])[:, None]
    wanted = model(x, mask)
    monkeypatch.setattr(module, "can_look", lambda _: False)  # as on a GPU
    assert torch.equal(model(x, mask), wanted)
    assert torch.allclose(model(x.flip(1), mask.flip(1))[0], model(x[:1].flip(1))[0], atol=1e-6)


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 0), (0, 4)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_small_batches(mixer, shape, masked):
    mask = torch.ones(shape, dtype=torch.bool) if masked else None
    y = build(mixer)(tokens(*shape), mask)
    assert y.shape == (*shape, 12) and y.isfinite().all()


# --- precision --------------------------------------------------------------------------------------------------------


def test_gradcheck_in_both_directions():
    model = build(BiMamba, 2, d_state=2, expand=1).double()
    x = tokens(2, 3, 2, dtype=torch.float64).requires_grad_()
    mask = lengths_mask([3, 2], 3)
    parameters = dict(model.named_parameters())

    def run(x, *values):
        return torch.func.functional_call(model, dict(zip(parameters, values, strict=True)), (x, mask))

    assert torch.autograd.gradcheck(run, (x, *parameters.values()))


@pytest.mark.parametrize("mixer", MIXERS)
def test_autocast(mixer):
    model, x = build(mixer), tokens(2, 30)
    expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters()
    )
    assert torch.allclose(y.float(), expected, atol=0.05 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("mixer", MIXERS)
def test_weights_in_bfloat16(mixer):
    model, x = build(mixer), tokens(2, 30)
    expected = model(x)
    y = model.bfloat16()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), expected, atol=0.05 * float(expected.detach().abs().max()))


def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(BiMamba)(tokens(), lengths_mask([3, 7], 7)).sum().backward()


@pytest.mark.slow
def test_compiles():
    """As one graph, in which the scan is one operation."""
    model, x, mask = build(BiMamba), tokens().requires_grad_(), lengths_mask([3, 7], 7)
    y, reference = torch.compile(model, fullgraph=True, backend="aot_eager")(x, mask), model(x, mask)
    assert torch.allclose(y, reference, atol=1e-6)
    for a, b in zip(*(torch.autograd.grad(out.square().sum(), x) for out in (y, reference)), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"d_model": 0}, "d_model must be an integer of at least 1, got 0"),
        ({"d_state": 0}, "d_state must be an integer"),
        ({"d_conv": 0}, "d_conv must be an integer"),
        ({"expand": 1.5}, "expand must be an integer of at least 1, got 1.5"),
        ({"dt_rank": 0}, "dt_rank must be an integer"),
        ({"dt_rank": "full"}, "dt_rank must be one of auto, got 'full'"),
    ],
    ids=str,
)
def test_sizes_are_checked(mixer, sizes, message):
    with pytest.raises(ValueError, match=message):
        mixer(**{"d_model": 8, **sizes})


@pytest.mark.parametrize("mixer", MIXERS)
def test_inputs_are_checked(mixer):
    model = build(mixer)
    with pytest.raises(ValueError, match=r"x must have shape \(B, L, d_model\) with d_model = 12, got \(2, 7, 11\)"):
        model(tokens(d_model=11))
    with pytest.raises(ValueError, match=r"x must have shape"):
        model(tokens()[0])
    with pytest.raises(TypeError, match="mask must be a boolean tensor"):
        model(tokens(), torch.ones(2, 7))
    with pytest.raises(ValueError, match="mask must have shape"):
        model(tokens(), torch.ones(2, 6, dtype=torch.bool))
