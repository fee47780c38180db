"""Losses: numerical range, masks, scopes, token-level use, invariances. The theorems are in test_theorems.py."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moefm import Loss, consistent_moefm_loss, moefm_loss, responsibilities, vfm_loss
from moefm.losses import squared_distances

# Every loss under one signature: (velocities, velocities at t = 0, logits, target, options).
MIXTURE_LOSSES = {
    "moefm": lambda u, u_0, logits, target, **kw: moefm_loss(u, logits, target, sigma=0.7, **kw),
    "scaled": lambda u, u_0, logits, target, **kw: moefm_loss(
        u, logits, target, sigma=0.7, velocity_scale=0.3, gate_scale=2.0, **kw
    ),
    "consistent": lambda u, u_0, logits, target, **kw: consistent_moefm_loss(u, u_0, logits, target, sigma=0.7, **kw),
}
LOSSES = {
    "vfm": lambda u, u_0, logits, target, mask=None: vfm_loss(u[..., 0, :], target, mask),
    **MIXTURE_LOSSES,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
every_mixture_loss = pytest.mark.parametrize("loss", MIXTURE_LOSSES.values(), ids=MIXTURE_LOSSES)

SEGMENTS = torch.tensor([[0, 0, 1, 1], [3, 0, 0, 3], [2, 2, 2, 2]])
scopes = pytest.mark.parametrize(
    "scope", [None, -1, 0, (0, 1), SEGMENTS], ids=["token", "sequence", "column", "all", "segments"]
)
MASK = torch.tensor([[True, True, True, False], [True, False, True, False], [False, True, True, False]])


@pytest.fixture
def inputs(mixture):
    """Two velocities, logits and target for a batch (3, 4) with K = 3 experts in 2 dimensions, float64."""
    u, logits, target = mixture((3, 4))
    return u, mixture((3, 4), seed=5)[0], logits, target.requires_grad_()


def evaluate(loss, inputs, **options):
    """Total, responsibilities and gradients (None where a loss ignores an input)."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    out = loss(*leaves, **options)
    return out, torch.autograd.grad(out.total, leaves, allow_unused=True)


def assert_same(actual, expected, **tolerance):
    for a, b in zip(actual, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **tolerance)


# --- numerical range --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dim", [1, 64, 4096])
@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 1e3])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("kind", ["paper", "scaled", "consistent"])
def test_finite_for_any_sigma_width_dtype_and_size(mixture, dtype, dim, sigma, scale, kind):
    u, logits, target = mixture((4,), 3, dim, dtype=dtype, scale=scale)
    with torch.no_grad():
        logits[0, 1] = logits[1, 0] = -torch.inf
    options = {"velocity_scale": 0.1, "gate_scale": 3.0} if kind == "scaled" else {}
    leaves = [u, logits]
    if kind == "consistent":
        leaves.append(mixture((4,), 3, dim, dtype=dtype, scale=scale, seed=4)[0])
        out = consistent_moefm_loss(leaves[2], u, logits, target, sigma=sigma)
    else:
        out = moefm_loss(u, logits, target, sigma=sigma, **options)
    assert all(part.isfinite().all() for part in out)
    assert out.total.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert out.responsibilities[0, 1] == 0
    torch.testing.assert_close(out.responsibilities.sum(-1), torch.ones_like(out.responsibilities[:, 0]))
    for leaf, grad in zip(leaves, torch.autograd.grad(out.total, leaves), strict=True):
        assert grad.isfinite().all()
        assert grad.dtype == leaf.dtype


@pytest.mark.parametrize("sigma", [1e-3, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("dim", [1, 64, 4096])
@pytest.mark.parametrize("name", MIXTURE_LOSSES)
def test_float32_agrees_with_float64(mixture, sigma, dim, name):
    """The gate part, of order one, must survive beside a velocity part of order 1e9."""
    u, logits, target = mixture((8,), 4, dim, dtype=torch.float32)
    options = {"sigma": sigma} | ({"velocity_scale": 0.5} if name == "scaled" else {})

    def run(dtype):
        args = [x.to(dtype) for x in (u, logits, target)]
        return (
            consistent_moefm_loss(args[0], *args, **options) if name == "consistent" else moefm_loss(*args, **options)
        )

    for part, exact in zip(run(torch.float32), run(torch.float64), strict=True):
        torch.testing.assert_close(part.double(), exact, rtol=2e-3, atol=1e-6 * max(1, sigma**2))


@pytest.mark.parametrize("sigma", [1e-3, 1.0])
def test_experts_that_agree_leave_the_gate_as_it_is(mixture, sigma):
    """Even where log pi is lost beside the distances in float32."""
    u, logits, target = mixture((5,), 4, 4096, dtype=torch.float32)
    same = u[:, :1].expand(-1, 4, -1)
    out = moefm_loss(same, logits, target, sigma=sigma)
    torch.testing.assert_close(out.responsibilities, logits.detach().softmax(-1))
    torch.testing.assert_close(responsibilities(same, logits, target, sigma=sigma), logits.softmax(-1))
    assert torch.autograd.grad(out.total, logits)[0].abs().max() < 1e-6
    assert out.gate.abs() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@every_loss
def test_half_precision_is_computed_in_float32(mixture, dtype, loss):
    u, logits, target = mixture((6,), 3, 5, dtype=dtype)
    narrow = loss(u, u, logits, target)
    wide = loss(u.float(), u.float(), logits.float(), target.float())
    assert narrow.total.dtype == torch.float32
    assert narrow.total == wide.total


def test_half_precision_gradients_saturate():
    u = torch.tensor([[[100.0], [-100.0]]], dtype=torch.float16, requires_grad=True)
    loss = moefm_loss(u, torch.zeros(1, 2), torch.tensor([[99.0]], dtype=torch.float16), sigma=1e-3)
    grad = torch.autograd.grad(loss.total, u)[0]
    assert grad[0, 0] == torch.finfo(torch.float16).max
    assert grad[0, 1] == 0


def test_an_impossible_expert_is_as_if_absent(mixture):
    u, logits, target = mixture((6,), 3)
    with torch.no_grad():
        logits[:, 1] = -torch.inf
    keep = torch.tensor([0, 2])
    for options in ({}, {"gate_scale": 2.0}):
        out = moefm_loss(u, logits, target, sigma=0.5, **options)
        without = moefm_loss(u[:, keep], logits[:, keep], target, sigma=0.5, **options)
        torch.testing.assert_close(out.total, without.total)
        torch.testing.assert_close(out.responsibilities[:, keep], without.responsibilities)
        assert torch.autograd.grad(out.total, u)[0][:, 1].abs().max() == 0


# --- what comes back --------------------------------------------------------------------------------------------------


@every_loss
def test_breakdown(inputs, loss):
    out = loss(*inputs)
    assert isinstance(out, Loss)
    assert out.total.requires_grad and out.total.shape == ()
    assert not out.velocity.requires_grad and not out.gate.requires_grad
    assert out.gate >= 0
    if out.responsibilities is not None:
        assert out.responsibilities.shape == (3, 4, 3)
        assert not out.responsibilities.requires_grad


def test_vfm_by_hand():
    loss = vfm_loss(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    assert loss.total == (1 + 4 + 9 + 16) / 2
    assert loss.velocity == loss.total and loss.gate == 0 and loss.responsibilities is None


def test_a_single_state_has_a_loss():
    loss = vfm_loss(torch.tensor([1.0, 2.0]), torch.zeros(2))
    assert loss.total == 5 and loss.errors == 5


def test_squared_distances(randn):
    u, target = randn(4, 3, 5), randn(4, 5, seed=1)
    torch.testing.assert_close(squared_distances(u, target), torch.cdist(u, target.unsqueeze(1)).squeeze(-1).square())


def test_consistent_loss_by_hand(inputs):
    """The formula of the docstring, with the responsibilities of t = 0 held fixed."""
    u, u_0, logits, target = inputs
    gamma = responsibilities(u_0, logits, target, sigma=0.7).detach()
    expected = 0.49 * moefm_loss(u_0, logits, target, sigma=0.7).total
    expected = expected + 0.5 * (gamma * squared_distances(u, target)).sum(-1).mean()
    actual = consistent_moefm_loss(u, u_0, logits, target, sigma=0.7)
    torch.testing.assert_close(actual.total, expected)
    torch.testing.assert_close(actual.responsibilities, gamma)
    leaves = (u, u_0, logits)
    assert_same(torch.autograd.grad(actual.total, leaves), torch.autograd.grad(expected, leaves))


@scopes
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_responsibilities_are_those_of_the_loss(inputs, scope, mask):
    u, _, logits, target = inputs
    options = {"sigma": 0.4, "scope": scope, "mask": mask}
    gamma = responsibilities(u, logits, target, **options)
    torch.testing.assert_close(gamma.detach(), moefm_loss(u, logits, target, **options).responsibilities)
    torch.testing.assert_close(gamma.sum(-1), torch.ones_like(gamma[..., 0]))


def test_responsibilities_have_gradients_beside_padding(inputs):
    u, _, logits, target = (x.detach().clone() for x in inputs)
    for x in (u, logits, target):
        x[~MASK] = torch.nan
        x.requires_grad_()
    gamma = responsibilities(u, logits, target, sigma=0.4, mask=MASK)
    for x, grad in zip((u, logits, target), torch.autograd.grad(gamma[..., 0].sum(), (u, logits, target)), strict=True):
        assert grad.isfinite().all() and grad[MASK].abs().min() > 0 and grad[~MASK].abs().max() == 0, x.shape


# --- token-level use and masks ----------------------------------------------------------------------------------------


@every_loss
def test_token_level_is_the_flattened_computation(inputs, loss):
    out, grads = evaluate(loss, inputs)
    flat, flat_grads = evaluate(loss, [x.flatten(0, 1) for x in inputs])
    torch.testing.assert_close(out.total, flat.total)
    assert_same([g if g is None else g.flatten(0, 1) for g in grads], flat_grads)


@every_loss
def test_mask_is_the_computation_on_what_is_left(inputs, loss):
    out, grads = evaluate(loss, inputs, mask=MASK)
    rest, rest_grads = evaluate(loss, [x[MASK] for x in inputs])
    torch.testing.assert_close(out.total, rest.total)
    torch.testing.assert_close(out.velocity, rest.velocity)
    torch.testing.assert_close(out.gate, rest.gate)
    assert_same([g if g is None else g[MASK] for g in grads], rest_grads)
    assert all(g is None or g[~MASK].abs().max() == 0 for g in grads)


GARBAGE = [torch.nan, torch.inf, -torch.inf, 1e30]


@pytest.mark.parametrize("garbage", GARBAGE)
@every_loss
def test_what_stands_at_masked_positions_does_not_matter(inputs, loss, garbage):
    out, grads = evaluate(loss, inputs, mask=MASK)
    spoiled = [x.detach().masked_fill(~MASK.reshape(3, 4, *(1,) * (x.ndim - 2)), garbage) for x in inputs]
    again, again_grads = evaluate(loss, spoiled, mask=MASK)
    assert out.total == again.total
    assert_same(again_grads, grads, rtol=0, atol=0)


@pytest.mark.parametrize("garbage", GARBAGE)
@scopes
@every_mixture_loss
def test_masked_positions_do_not_enter_pooled_logits_and_distances(inputs, loss, scope, garbage):
    out, grads = evaluate(loss, inputs, mask=MASK, scope=scope)
    spoiled = [x.detach().masked_fill(~MASK.reshape(3, 4, *(1,) * (x.ndim - 2)), garbage) for x in inputs]
    again, again_grads = evaluate(loss, spoiled, mask=MASK, scope=scope)
    assert out.total == again.total
    assert_same(again_grads, grads, rtol=0, atol=0)
    torch.testing.assert_close(again.responsibilities[MASK], out.responsibilities[MASK], rtol=0, atol=0)
    assert again.responsibilities.isfinite().all()
    assert all(g is None or g[~MASK].abs().max() == 0 for g in grads)


def pad(x, value, length=3):
    tail = torch.full((x.shape[0], length, *x.shape[2:]), value, dtype=x.dtype)
    return torch.cat([x.detach(), tail], 1)


@scopes
@every_mixture_loss
def test_padding_changes_nothing(inputs, loss, scope):
    mask = torch.ones(3, 4, dtype=torch.bool)
    out, grads = evaluate(loss, inputs, scope=scope)
    longer = pad(scope, 0) if isinstance(scope, torch.Tensor) else scope
    padded, padded_grads = evaluate(loss, [pad(x, torch.nan) for x in inputs], mask=pad(mask, False), scope=longer)
    torch.testing.assert_close(padded.total, out.total)
    torch.testing.assert_close(padded.responsibilities[:, :4], out.responsibilities)
    assert_same([g if g is None else g[:, :4] for g in padded_grads], grads)
    assert all(g is None or g[:, 4:].abs().max() == 0 for g in padded_grads)


@scopes
@every_mixture_loss
def test_nothing_left_gives_zero(inputs, loss, scope):
    out, grads = evaluate(loss, inputs, mask=torch.zeros(3, 4, dtype=torch.bool), scope=scope)
    assert out.total == 0 and out.velocity == 0 and out.gate == 0
    assert all(g is None or g.abs().max() == 0 for g in grads)


def test_nothing_left_gives_zero_vfm(inputs):
    out, grads = evaluate(LOSSES["vfm"], inputs, mask=torch.zeros(3, 4, dtype=torch.bool))
    assert out.total == 0
    assert all(g is None or g.abs().max() == 0 for g in grads)


@every_loss
def test_full_mask_is_no_mask(inputs, loss):
    torch.testing.assert_close(loss(*inputs, mask=torch.ones(3, 4, dtype=torch.bool)).total, loss(*inputs).total)


# --- scope ------------------------------------------------------------------------------------------------------------

SAME_GROUPS = {
    "sequence": [-1, 1, (1,), (-1,), torch.zeros(3, 4, dtype=torch.long), torch.full((3, 4), 2, dtype=torch.int32)],
    "token": [None, (), torch.arange(4).expand(3, 4), torch.tensor([3, 1, 0, 2]).expand(3, 4)],
    "all": [(0, 1), (-1, -2), (1, 0), (0, 1, -1)],
    "column": [0, -2, (0,)],
}


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("name", SAME_GROUPS)
@every_mixture_loss
def test_scopes_that_say_the_same_agree(inputs, loss, name, mask):
    first, *others = SAME_GROUPS[name]
    out, grads = evaluate(loss, inputs, scope=first, mask=mask)
    for scope in others:
        again, again_grads = evaluate(loss, inputs, scope=scope, mask=mask)
        torch.testing.assert_close(again.total, out.total)
        torch.testing.assert_close(again.responsibilities, out.responsibilities)
        assert_same(again_grads, grads)


@every_mixture_loss
def test_scopes_that_differ_do_not_agree(inputs, loss):
    totals = [loss(*inputs, scope=scope).total for scope in (None, -1, 0, (0, 1), SEGMENTS)]
    assert len({round(total.item(), 9) for total in totals}) == 5


@every_mixture_loss
def test_everything_in_one_group_is_one_long_sequence(inputs, loss):
    out = loss(*inputs, scope=(0, 1))
    flat = loss(*[x.flatten(0, 1).unsqueeze(0) for x in inputs], scope=-1)
    torch.testing.assert_close(out.total, flat.total)


@scopes
def test_one_expert_ignores_the_scope(mixture, scope):
    u, logits, target = mixture((3, 4), experts=1)
    for mask in (None, MASK):
        loss = moefm_loss(u, logits, target, sigma=0.5, scope=scope, mask=mask).total
        torch.testing.assert_close(loss * 2 * 0.5**2, vfm_loss(u.squeeze(-2), target, mask).total)


# --- invariances ------------------------------------------------------------------------------------------------------

cases = {"seed": st.integers(0, 10_000), "experts": st.integers(1, 6), "dim": st.integers(1, 5)}


def draw(mixture, seed, experts, dim):
    u, logits, target = mixture((3, 4), experts, dim, seed=seed)
    return u, mixture((3, 4), experts, dim, seed=seed + 50)[0], logits, target


@given(**cases)
def test_permuting_the_experts(mixture, seed, experts, dim):
    u, u_0, logits, target = draw(mixture, seed, experts, dim)
    order = torch.randperm(experts, generator=torch.Generator().manual_seed(seed))
    for loss in MIXTURE_LOSSES.values():
        out = loss(u, u_0, logits, target, scope=-1)
        permuted = loss(u[..., order, :], u_0[..., order, :], logits[..., order], target, scope=-1)
        torch.testing.assert_close(permuted.total, out.total)
        torch.testing.assert_close(permuted.responsibilities, out.responsibilities[..., order])


@given(**cases)
def test_translating_velocities_and_target_together(mixture, seed, experts, dim):
    u, u_0, logits, target = draw(mixture, seed, experts, dim)
    shift = 10 * torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for loss in LOSSES.values():
        out, moved = loss(u, u_0, logits, target), loss(u + shift, u_0 + shift, logits, target + shift)
        torch.testing.assert_close(moved.total, out.total)


@given(**cases, shift=st.floats(-30, 30))
def test_adding_a_constant_to_the_logits(mixture, seed, experts, dim, shift):
    u, u_0, logits, target = draw(mixture, seed, experts, dim)
    for loss in MIXTURE_LOSSES.values():
        out, moved = loss(u, u_0, logits, target, scope=-1), loss(u, u_0, logits + shift, target, scope=-1)
        torch.testing.assert_close(moved.total, out.total)


@given(**cases, bits=st.lists(st.booleans(), min_size=12, max_size=12))
def test_masked_content_is_ignored(mixture, seed, experts, dim, bits):
    u, u_0, logits, target = draw(mixture, seed, experts, dim)
    mask = torch.tensor(bits).reshape(3, 4)
    noise = torch.where(mask, 0.0, torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)) * 100).double()
    spoiled = [x + noise.reshape(3, 4, *(1,) * (x.ndim - 2)) for x in (u, u_0, logits, target)]
    for loss in MIXTURE_LOSSES.values():
        for scope in (None, -1):
            out = loss(u, u_0, logits, target, mask=mask, scope=scope)
            assert loss(*spoiled, mask=mask, scope=scope).total == out.total


@every_loss
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_errors_are_those_of_the_expert_in_charge(inputs, loss, mask):
    out = loss(*inputs, mask=mask)
    gamma = torch.eye(3)[0].expand(3, 4, 3) if out.responsibilities is None else out.responsibilities
    expected = (gamma * (inputs[0] - inputs[3].unsqueeze(-2)).square().sum(-1)).sum(-1)
    kept = torch.ones_like(expected, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(out.errors[kept], expected[kept])
    assert not out.errors.requires_grad and (out.errors[~kept] == 0).all()
