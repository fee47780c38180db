"""Couplings: exact optimal transport within a batch."""

import builtins
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from moefm import independent, minibatch_ot, ot_within
from moefm.couplings import COUPLINGS, conditional_coupling, get_coupling, optimal_permutation


@pytest.fixture(params=["pot", "scipy"])
def backend(request, monkeypatch):
    """Both ways to solve the assignment."""
    if request.param == "pot":
        pytest.importorskip("ot")
    else:
        hide(monkeypatch, "ot")


def hide(monkeypatch, *names):
    original = builtins.__import__

    def guarded(name, *args, **kwargs):
        if name.split(".")[0] in names:
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)


def cost_over_best(z0, z1):
    """Cost of the pairs over the smallest there is, both from differences in float64, in units that cannot overflow."""
    a, b = z0.double().reshape(len(z0), -1), z1.double().reshape(len(z1), -1)
    unit = torch.maximum(a.abs().max(), b.abs().max()).clamp_min(1e-300)
    cost = (b[:, None] / unit - a[None] / unit).square().sum(-1)
    best = cost.numpy()[linear_sum_assignment(cost.numpy())].sum()
    order = [row.tolist() for row in a]
    paired = minibatch_ot(z0, z1)[0].double().reshape(len(z0), -1)
    assert sorted(paired.tolist()) == sorted(order), "no permutation of the noise"
    total = (b / unit - paired / unit).square().sum().item()
    return total / best if best > 1e-280 else 1 + total


def squared_cost(z0, z1):
    return (z0 - z1).square().sum().item()


def test_independent_leaves_everything(randn):
    z0, z1 = randn(5, 2), randn(5, 2, seed=1)
    a, b = independent(z0, z1)
    assert a is z0 and b is z1


@pytest.mark.parametrize("seed", range(5))
def test_equals_brute_force(backend, randn, seed):
    z0, z1 = randn(5, 3, seed=seed), randn(5, 3, seed=seed + 100)
    best = min(squared_cost(z0[list(order)], z1) for order in itertools.permutations(range(5)))
    assert squared_cost(*minibatch_ot(z0, z1)) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 60])
def test_is_a_permutation_that_keeps_the_data_in_order(backend, randn, n):
    z0, z1 = randn(n, 2), randn(n, 2, seed=1)
    paired, data = minibatch_ot(z0, z1)
    assert torch.equal(data, z1)
    assert sorted(paired.tolist()) == sorted(z0.tolist())
    if n > 2:
        assert squared_cost(paired, data) < 0.5 * squared_cost(z0, z1)


def test_undoes_a_shuffle(backend, randn):
    z0 = randn(30, 2)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    assert torch.equal(minibatch_ot(z0[order], z0 + 0.001)[0], z0)


def test_equal_points_are_still_paired_one_to_one(backend):
    assert sorted(optimal_permutation(torch.zeros(6, 6)).tolist()) == list(range(6))


@pytest.mark.parametrize("shape", [(0, 2), (0, 3, 2), (0,)])
def test_no_rows_have_no_pairs(backend, shape):
    z0, z1 = minibatch_ot(torch.zeros(shape), torch.zeros(shape))
    assert z0.shape == z1.shape == shape
    assert optimal_permutation(torch.zeros(0, 0)).shape == (0,)
    empty, labels = torch.zeros(shape), torch.zeros(0, dtype=torch.long)
    assert ot_within(empty, empty, labels)[0].shape == shape


@pytest.mark.parametrize(
    "call", [minibatch_ot, lambda a, b: ot_within(a, b, torch.arange(8) % 2)], ids=["all", "within"]
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_named(backend, randn, call, value):
    good, bad = randn(8, 3, 2), randn(8, 3, 2, seed=1)
    bad[5, 1, 0] = value
    with pytest.raises(ValueError, match=rf"z1 must be finite, got {value} in row 5"):
        call(good, bad)
    with pytest.raises(ValueError, match=rf"z0 must be finite, got {value} in row 5"):
        call(bad, good)
    with pytest.raises(ValueError, match=rf"cost must be finite, got {value} in row 1"):
        optimal_permutation(torch.tensor([[1.0, 2.0], [3.0, value]]))


scales = st.sampled_from([1e-300, 1e-30, 1e-3, 1.0, 1e3, 1e20, 1e30, 1e300])


@given(
    n=st.integers(1, 24),
    dim=st.sampled_from([1, 2, 3, 70]),
    seed=st.integers(0, 999),
    scale=scales,
    noise_scale=scales,
    offset=st.sampled_from([0.0, 1.0, 1e3, 1e4, -1e8]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    copies=st.booleans(),
)
def test_exact_at_any_scale_offset_and_dtype(n, dim, seed, scale, noise_scale, offset, dtype, copies):
    g = torch.Generator().manual_seed(seed)
    z0, z1 = (torch.randn(n, dim, generator=g, dtype=torch.float64) for _ in range(2))
    if copies:
        z0, z1 = (z[torch.randint(n, (n,), generator=g)] for z in (z0, z1))
    z0, z1 = (z0 * noise_scale + offset).to(dtype), (z1 * scale + offset).to(dtype)
    if z0.isfinite().all() and z1.isfinite().all():
        assert cost_over_best(z0, z1) <= 1 + 1e-9


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-6, 1e-8])
@pytest.mark.parametrize("dim", [2, 5])
def test_exact_within_tight_clusters(backend, randn, gen, spread, dim):
    """Pairs a millionth of the clouds' width apart: below what the stopping rule of POT sees."""
    centres = torch.randint(4, (128, 1), generator=gen()).double()
    z0 = centres + spread * randn(128, dim, dtype=torch.float64)
    z1 = z0[torch.randperm(128, generator=gen())] + spread * randn(128, dim, seed=1, dtype=torch.float64)
    assert cost_over_best(z0, z1) <= 1 + 1e-9


def test_data_and_noise_at_different_places(randn):
    """Where nearly all of the cost is the way between the clouds, the pairs are still those of the centred clouds."""
    z0, z1 = randn(40, 2, dtype=torch.float64), randn(40, 2, seed=1, dtype=torch.float64)
    near = minibatch_ot(z0, z1)[0]
    for scale, offset in ((1.0, 1e6), (1e12, 0.0), (1e-12, 5.0)):
        assert torch.equal(minibatch_ot(z0, scale * z1 + offset)[0], near)


@pytest.mark.parametrize("scale", [1e-320, 1e-30, 1e30, 1e308])
@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.0])
def test_costs_of_any_size_and_sign(backend, scale, shift):
    cost = np.random.default_rng(0).random((20, 20)) * 0.5 + shift
    expected = linear_sum_assignment(cost)[1].tolist()
    got = optimal_permutation(torch.as_tensor(cost * scale)).tolist()
    assert got == expected if scale > 1e-300 else sorted(got) == list(range(20))


def test_single_numbers_are_points_too(randn):
    assert torch.equal(
        minibatch_ot(randn(9), randn(9, seed=1))[0], minibatch_ot(randn(9, 1), randn(9, 1, seed=1))[0][:, 0]
    )
    with pytest.raises(ValueError, match="z0 must be noise"):
        minibatch_ot(torch.zeros(()), torch.zeros(()))


def test_whole_sequences_are_paired(backend, randn):
    z0, z1 = randn(8, 3, 2), randn(8, 3, 2, seed=1)
    flat = minibatch_ot(z0.flatten(1), z1.flatten(1))[0]
    assert torch.equal(minibatch_ot(z0, z1)[0].flatten(1), flat)


def test_gradients_pass_to_the_noise(randn):
    z0 = randn(4, 2).requires_grad_()
    minibatch_ot(z0, randn(4, 2, seed=1))[0].sum().backward()
    assert torch.equal(z0.grad, torch.ones(4, 2))


def test_without_any_solver_it_says_what_to_install(monkeypatch):
    hide(monkeypatch, "ot", "scipy")
    with pytest.raises(ImportError, match="pip install scipy"):
        optimal_permutation(torch.zeros(2, 2))


def test_names():
    assert COUPLINGS == {"independent": independent, "ot": minibatch_ot}
    assert [get_coupling(name) for name in COUPLINGS] == list(COUPLINGS.values())
    assert get_coupling(sorted) is sorted
    with pytest.raises(ValueError, match="coupling must be one of independent, ot, got 'sinkhorn'"):
        get_coupling("sinkhorn")


def test_ot_within_keeps_groups_apart(randn):
    z0, z1, group = randn(40, 3), randn(40, 3, seed=1), torch.arange(40) % 3
    paired, same = ot_within(z0, z1, group)
    assert same is z1
    for k in range(3):
        mine = group == k
        torch.testing.assert_close(paired[mine], minibatch_ot(z0[mine], z1[mine])[0])
    assert (paired - z1).square().sum() < (z0 - z1).square().sum()


def test_ot_within_wants_a_group_for_each_pair(randn):
    with pytest.raises(ValueError, match="group"):
        ot_within(randn(4, 2), randn(4, 2), torch.zeros(3, dtype=torch.long))


def test_by_name_ot_pairs_within_classes(randn):
    z0, z1, labels = randn(40, 2), randn(40, 2, seed=1), torch.arange(40) % 3
    couple = conditional_coupling("ot", labels)
    assert torch.equal(couple(z0, z1, labels)[0], ot_within(z0, z1, labels)[0])
    assert torch.equal(
        conditional_coupling("ot", labels == 0)(z0, z1, labels == 0)[0], ot_within(z0, z1, labels == 0)[0]
    )
    everything = conditional_coupling("ot", None)(z0, z1, None)[0]
    assert torch.equal(everything, minibatch_ot(z0, z1)[0])
    assert torch.equal(conditional_coupling(minibatch_ot, labels)(z0, z1, labels)[0], everything)
    assert conditional_coupling("independent", randn(40, 5))(z0, z1, None)[0] is z0


def test_by_name_ot_pairs_within_vectors_that_repeat(randn):
    z0, z1, labels = randn(40, 2), randn(40, 2, seed=1), torch.arange(40) % 3
    vectors = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))[labels]
    couple = conditional_coupling("ot", vectors)
    assert torch.equal(couple(z0, z1, vectors)[0], ot_within(z0, z1, labels)[0])
    few = vectors[:3].mul(0)  # even where there are few rows
    assert torch.equal(conditional_coupling("ot", few)(z0[:3], z1[:3], few)[0], minibatch_ot(z0[:3], z1[:3])[0])
    alone = torch.arange(40.0)[:, None]  # a batch whose conditions all differ stays as it was drawn
    assert torch.equal(couple(z0, z1, alone)[0], z0)


@pytest.mark.parametrize("cond", [torch.arange(40.0), torch.arange(80.0).view(40, 2), torch.eye(6).repeat(7, 1)])
def test_by_name_ot_refuses_conditions_that_hardly_repeat(cond):
    with pytest.raises(ValueError, match=r"cond must be labels \(N,\) or vectors that repeat, got .*'independent'"):
        conditional_coupling("ot", cond)
