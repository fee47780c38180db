"""The mixture likelihood of tokens: against its formula, its gradient from one expert, its limits, bad input."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moefm import categorical_mixture_loss, drawn_categorical_loss
from moefm.scope import group_mean

MASK = torch.tensor([[True, True, True], [True, True, False]])
GROUPS = torch.tensor([[0, 0, 1], [0, 0, 0]])


def drawn_case(seed: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    losses = 3 * torch.rand(2, 3, 4, generator=source, dtype=torch.float64)
    return losses, torch.randn(2, 3, 4, generator=source, dtype=torch.float64)


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_it_is_the_sum_over_experts(seed: int) -> None:
    losses, logits = drawn_case(seed)
    log_pi = group_mean(logits, GROUPS, MASK).log_softmax(-1)
    total = 0.0
    for row, places in ((0, [0, 1]), (0, [2]), (1, [0, 1])):  # the groups inside the mask
        parts = [
            math.exp(float(log_pi[row, places[0], k]) - sum(float(losses[row, place, k]) for place in places))
            for k in range(4)
        ]
        total -= math.log(sum(parts))
    out = categorical_mixture_loss(losses, logits, mask=MASK, scope=GROUPS)
    assert float(out.total) == pytest.approx(total / 5, rel=1e-9)
    assert float(out.nll.sum()) == pytest.approx(total, rel=1e-9) and float(out.nll[1, 2]) == 0
    assert torch.allclose(out.responsibilities.sum(-1), torch.ones(2, 3, dtype=torch.float64))


@given(st.integers(0, 1000), st.sampled_from([None, -1, "groups"]))
@settings(max_examples=30, deadline=None)
def test_one_expert_has_the_gradient_in_expectation(seed: int, kind: Any) -> None:
    scope = GROUPS if kind == "groups" else kind
    losses, logits = (x.requires_grad_() for x in drawn_case(seed))
    whole = categorical_mixture_loss(losses, logits, mask=MASK, scope=scope)
    exact = torch.autograd.grad(whole.total, (losses, logits))
    r = whole.responsibilities
    groups = [[(0, 0)], [(0, 1)], [(0, 2)], [(1, 0)], [(1, 1)]] if scope is None else None
    if scope is not None:
        groups = [[(0, 0), (0, 1)], [(0, 2)], [(1, 0), (1, 1)]] if kind == "groups" else [
            [(0, 0), (0, 1), (0, 2)], [(1, 0), (1, 1)]
        ]  # fmt: skip
    assert groups is not None
    if len(groups) > 3:  # independent groups: looking at one at a time is enough
        groups = groups[:2]
    mean = [torch.zeros_like(losses), torch.zeros_like(logits)]
    for drawn in itertools.product(range(4), repeat=len(groups)):
        index = torch.zeros(2, 3, dtype=torch.long)
        weight = 1.0
        for expert, places in zip(drawn, groups, strict=True):
            weight *= float(r[places[0]][expert])
            for place in places:
                index[place] = expert
        chosen = losses.gather(-1, index.unsqueeze(-1)).squeeze(-1)
        part = torch.autograd.grad(drawn_categorical_loss(chosen, logits, r, mask=MASK, scope=scope), (losses, logits))
        mean = [total + weight * one for total, one in zip(mean, part, strict=True)]
    for places in groups:
        for place in places:
            assert torch.allclose(mean[0][place], exact[0][place], atol=1e-12)
    assert torch.allclose(mean[1], exact[1], atol=1e-12)


def test_one_expert_is_cross_entropy() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(5)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none").unsqueeze(-1)
    out = categorical_mixture_loss(losses, torch.zeros(5, 1), scope=-1)
    assert torch.allclose(out.total, torch.nn.functional.cross_entropy(logits, labels))


def test_shares_from_elsewhere_weigh_the_experts() -> None:
    losses, logits = drawn_case(3)
    shares = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(2, 3, 4)
    out = categorical_mixture_loss(losses, logits, mask=MASK, scope=-1, responsibilities=shares)
    log_pi = group_mean(logits, -1, MASK).log_softmax(-1)
    wanted = (losses[..., 0] * MASK).sum() - log_pi[:, 0, 0].sum()
    assert float(out.total) == pytest.approx(float(wanted) / 5)
    own = categorical_mixture_loss(losses, logits, mask=MASK, scope=-1)
    again = categorical_mixture_loss(losses, logits, mask=MASK, scope=-1, responsibilities=own.responsibilities)
    assert float(again.total) >= float(own.total)  # the bound that EM raises
    entropy = -torch.xlogy(own.responsibilities, own.responsibilities).sum(-1)
    tight = float(again.total) - float((entropy[:, 0]).sum() / 5)
    assert tight == pytest.approx(float(own.total))


def test_what_the_mask_leaves_out_has_no_say() -> None:
    losses, logits = drawn_case(5)
    torn_losses, torn_logits = losses.clone(), logits.clone()
    torn_losses[1, 2], torn_logits[1, 2] = torch.nan, torch.inf
    for scope in (None, -1, GROUPS):
        whole, torn = (
            categorical_mixture_loss(a, b, mask=MASK, scope=scope).total
            for a, b in ((losses, logits), (torn_losses, torn_logits))
        )
        assert torch.equal(whole, torn)
        shares = torch.full((2, 3, 4), 0.25, dtype=torch.float64)
        leaves = [x.clone().requires_grad_() for x in (torn_losses[..., 0], torn_logits)]
        drawn = drawn_categorical_loss(*leaves, shares, mask=MASK, scope=scope)
        assert torch.equal(drawn, drawn_categorical_loss(losses[..., 0], logits, shares, mask=MASK, scope=scope))
        assert all(grad[1, 2].eq(0).all() and grad.isfinite().all() for grad in torch.autograd.grad(drawn, leaves))


def test_a_single_position_has_a_loss() -> None:
    out = categorical_mixture_loss(torch.tensor([1.0, 1.0, 1.0]), torch.zeros(3))
    assert float(out.total) == float(out.nll) == 1.0


@pytest.mark.parametrize(
    ("losses", "logits", "more", "says"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), {}, "logits"),
        (torch.zeros(()), torch.zeros(()), {}, "losses"),
        (torch.zeros(2, 3), torch.zeros(2, 3), {"mask": torch.ones(3, dtype=torch.bool)}, "mask"),
        (torch.zeros(2, 3), torch.zeros(2, 3), {"responsibilities": torch.ones(2, 2)}, "responsibilities"),
    ],
)
def test_shapes_that_do_not_fit(losses: Tensor, logits: Tensor, more: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        categorical_mixture_loss(losses, logits, **more)


def test_one_loss_a_position() -> None:
    with pytest.raises(ValueError, match="loss must have shape"):
        drawn_categorical_loss(torch.zeros(3), torch.zeros(2, 4), torch.ones(2, 4) / 4)


def test_an_expert_of_probability_0_does_not_count() -> None:
    losses, logits = torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[0.0, -math.inf], [0.0, 0.0]])
    free = categorical_mixture_loss(losses, logits)
    fixed = categorical_mixture_loss(losses, logits, responsibilities=free.responsibilities)
    drawn = drawn_categorical_loss(losses[:, 0], logits, free.responsibilities)
    assert fixed.nll[0] == free.nll[0] == 1.0
    assert fixed.total.isfinite() and drawn.isfinite()


def test_one_expert_with_a_mask_by_hand() -> None:
    """Two positions of three count: (1 + 2) / 2, and log 2 for the gate of their one group."""
    losses, logits = torch.tensor([1.0, 2.0, 40.0]), torch.zeros(3, 2, requires_grad=True)
    shares = torch.full((3, 2), 0.5, requires_grad=True)
    loss = drawn_categorical_loss(losses, logits, shares, mask=torch.tensor([True, True, False]), scope=-1)
    assert float(loss.detach()) == pytest.approx((3 + math.log(2)) / 2)
    assert torch.autograd.grad(loss, shares, allow_unused=True) == (None,)  # a posterior is constant


def test_shares_from_elsewhere_are_constant_and_masked() -> None:
    losses, logits = torch.tensor([[1.0, 3.0], [90.0, 90.0]]), torch.zeros(2, 2, requires_grad=True)
    shares, mask = torch.full((2, 2), 0.5, requires_grad=True), torch.tensor([True, False])
    out = categorical_mixture_loss(losses, logits, mask=mask, responsibilities=shares)
    assert float(out.total.detach()) == pytest.approx(2 + math.log(2))
    assert torch.autograd.grad(out.total, shares, allow_unused=True) == (None,)
