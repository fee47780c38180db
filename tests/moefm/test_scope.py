"""Routing scope: sums, means, counts and shared draws over groups."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moefm.scope import group_mean, group_size, group_sum, share_first


@given(
    seed=st.integers(0, 10_000),
    batch=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    experts=st.integers(1, 3),
    masked=st.booleans(),
)
def test_segments_against_numpy(seed, batch, experts, masked):
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(*batch, experts, generator=g, dtype=torch.float64)
    groups = torch.randint(0, batch[-1], tuple(batch), generator=g)
    mask = torch.rand(tuple(batch), generator=g) < 0.6 if masked else None
    counts = np.ones(batch) if mask is None else mask.numpy().astype(float)
    total, size = np.zeros((*batch, experts)), np.zeros((*batch, 1))
    for at in np.ndindex(*batch):
        for other in range(batch[-1]):
            where = (*at[:-1], other)
            if groups[where] == groups[at]:
                total[at] += counts[where] * values[where].numpy()
                size[at] += counts[where]
    np.testing.assert_allclose(group_sum(values, groups, mask), total, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(group_size(values, groups, mask), size.clip(1), rtol=0)
    np.testing.assert_allclose(group_mean(values, groups, mask), total / size.clip(1), rtol=1e-12, atol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    batch=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    dims=st.sets(st.integers(-3, 2)),
)
def test_dimensions_against_numpy(seed, batch, dims):
    dims = tuple(d for d in dims if -len(batch) <= d < len(batch))
    values = torch.randn(*batch, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    axes = tuple({d % len(batch) for d in dims})
    expected = np.broadcast_to(values.numpy().sum(axes, keepdims=True), values.shape)
    np.testing.assert_allclose(group_sum(values, dims), expected, rtol=1e-12, atol=1e-12)


def test_no_scope_is_every_position_for_itself(randn):
    values = randn(2, 3, 4)
    assert group_sum(values, None) is values
    assert torch.equal(group_mean(values, ()), values)
    assert torch.equal(group_size(values, None), torch.ones(2, 3, 1))


def test_mean_of_an_impossible_expert_is_impossible_and_harmless():
    logits = torch.tensor([[[0.0, -torch.inf], [1.0, 2.0]]], requires_grad=True)
    pooled = group_mean(logits, -1)
    assert pooled[..., 0].tolist() == [[0.5, 0.5]]
    assert pooled[..., 1].isneginf().all()
    grad = torch.autograd.grad(pooled.log_softmax(-1)[..., 0].sum(), logits)[0]
    assert grad.isfinite().all()


def test_a_group_that_is_masked_as_a_whole_has_mean_zero(randn):
    mask = torch.tensor([[False, False], [True, True]])
    assert group_mean(randn(2, 2, 3), -1, mask)[0].abs().max() == 0


@pytest.mark.parametrize(
    "scope, equal",
    [
        (-1, [(0, 0), (0, 1), (0, 2)]),
        (0, [(0, 1), (1, 1)]),
        ((0, 1), [(0, 0), (0, 2), (1, 1)]),
        (torch.tensor([[2, 0, 2], [1, 1, 1]]), [(0, 0), (0, 2)]),
        (torch.tensor([[2, 0, 2], [1, 1, 1]]), [(1, 0), (1, 1), (1, 2)]),
    ],
)
def test_share_first_gives_a_group_one_draw(randn, scope, equal):
    shared = share_first(randn(2, 3), scope)
    assert shared.shape == (2, 3)
    assert len({shared[at].item() for at in equal}) == 1


@pytest.mark.parametrize("scope, groups", [(None, 6), (-1, 2), (0, 3), ((0, 1), 1), (torch.tensor([[2, 0, 2]] * 2), 4)])
def test_different_groups_have_different_draws(randn, scope, groups):
    assert len(share_first(randn(2, 3), scope).unique()) == groups


@pytest.mark.parametrize("scope", [-1, torch.zeros(1, 1000, dtype=torch.long)], ids=["dimension", "groups"])
def test_a_long_group_has_a_mean_in_half_precision(scope):
    """Its sum, 100,000, is beyond float16."""
    mean = group_mean(torch.full((1, 1000, 2), 100.0, dtype=torch.float16), scope)
    assert mean.dtype == torch.float16 and mean.unique().tolist() == [100.0]


def test_a_single_state_has_no_groups():
    with pytest.raises(ValueError, match="scope must be None for a state without batch dimensions"):
        group_sum(torch.ones(3), torch.tensor(0))


def test_a_group_shares_its_first_entry_or_the_one_of_its_number():
    values = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert share_first(values, -1).tolist() == [[1, 1, 1], [4, 4, 4]]
    assert share_first(values, (0, 1)).unique().tolist() == [1]
    assert share_first(values, torch.tensor([[2, 0, 2], [1, 1, 1]])).tolist() == [[3, 1, 3], [5, 5, 5]]


@pytest.mark.parametrize("groups", [[[-1, 0]], [[0, 2]], [[-1, 2]]])
def test_numbers_that_name_no_group_are_refused(groups):
    with pytest.raises(ValueError, match=r"scope must hold group numbers in 0 \.\. 1, got from "):
        group_sum(torch.ones(1, 2, 3), torch.tensor(groups))


@pytest.mark.parametrize("batch", [(0,), (2, 0), (0, 2)])
def test_an_empty_batch_has_no_group_to_refuse(batch):
    assert group_mean(torch.ones(*batch, 3), torch.zeros(batch, dtype=torch.long)).shape == (*batch, 3)


@pytest.mark.parametrize("kind", [torch.float32, torch.bool])
def test_group_numbers_are_integers(kind):
    with pytest.raises(TypeError, match="scope must hold integer group numbers"):
        group_sum(torch.ones(1, 2, 3), torch.zeros(1, 2, dtype=kind))
