"""Couplings: exact optimal transport within a batch."""

import builtins
import itertools

import pytest
import torch

from moefm import independent, minibatch_ot, ot_within
from moefm.couplings import COUPLINGS, optimal_permutation


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
