"""Checks of what has to be finite."""

import pytest
import torch

from moefm import gate_entropy, load_balance, moefm_loss, responsibilities
from moefm.finite import NotFiniteError, can_look, capturing, check_finite, check_logits, traced

INF, NAN = torch.inf, torch.nan


@pytest.mark.parametrize(
    "values, message",
    [
        ([[0.0, 1.0], [0.0, NAN]], "x must be finite, got nan in row 1"),
        ([[0.0, -INF], [0.0, NAN]], "x must be finite, got -inf in row 0"),
        ([[[0.0], [0.0]], [[INF], [0.0]]], r"x must be finite, got inf at \(1, 0\)"),
        ([INF, 0.0], "x must be finite, got inf"),
    ],
)
def test_the_first_row_at_fault_is_named(values, message):
    with pytest.raises(NotFiniteError, match=message + "$"):
        check_finite("x", torch.tensor(values))
    with pytest.raises(NotFiniteError, match=message + " at t = 0.5$"):
        check_finite("x", torch.tensor(values), t=torch.tensor(0.5))


@pytest.mark.parametrize("values", [torch.zeros(3, 2), torch.full((3, 2), 3e38), torch.zeros(0, 2), torch.zeros(2)])
def test_finite(values):
    check_finite("x", values)


def test_what_the_mask_leaves_out_may_hold_anything():
    values, mask = torch.tensor([[0.0], [NAN], [INF]]), torch.tensor([True, False, True])
    with pytest.raises(NotFiniteError, match="got inf in row 2"):
        check_finite("x", values, mask)
    check_finite("x", values[:2], mask[:2])


@pytest.mark.parametrize("row", [[0.0, 1.0], [-INF, 0.0], [-3e38, 3e38]])
def test_logits_that_are_a_distribution(row):
    check_logits(torch.tensor([[0.0, 0.0], row]))


@pytest.mark.parametrize(
    "row, message", [([-INF, -INF], "leave an expert"), ([0.0, INF], "got inf"), ([INF, -INF], "got inf")]
)
def test_logits_that_are_none(row, message):
    logits = torch.tensor([[0.0, 0.0], row])
    for passes in (False, True):
        with pytest.raises(NotFiniteError, match=f"gate logits .*{message}.* in row 1"):
            check_logits(logits, nan_passes=passes)
    check_logits(logits, torch.tensor([True, False]))


def test_nan_passes_where_a_training_will_see_it():
    logits = torch.tensor([[0.0, NAN]])
    check_logits(logits, nan_passes=True)
    with pytest.raises(NotFiniteError, match="got nan in row 0"):
        check_logits(logits)


LOSSES = {
    "moefm_loss": lambda w: moefm_loss(torch.zeros(*w.shape, 2), w, torch.ones(*w.shape[:-1], 2), sigma=0.3).total,
    "pooled": lambda w: moefm_loss(torch.zeros(*w.shape, 2), w, torch.ones(*w.shape[:-1], 2), sigma=0.3, scope=0).total,
    "responsibilities": lambda w: responsibilities(
        torch.zeros(*w.shape, 2), w, torch.ones(*w.shape[:-1], 2), sigma=0.3
    ),
    "gate_entropy": gate_entropy,
    "load_balance": load_balance,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_everything_that_reads_a_gate_refuses_what_is_none(loss):
    for row in ([-INF, -INF, -INF], [0.0, INF, 0.0]):
        with pytest.raises(NotFiniteError, match="gate logits"):
            loss(torch.tensor([[0.0, 0.0, 0.0], row]))
    assert loss(torch.tensor([[0.0, 0.0, 0.0], [0.0, NAN, 0.0]])).isnan().any()
    assert loss(torch.tensor([[0.0, -INF, 0.0], [0.0, 1.0, 0.0]])).isfinite().all()


def test_experts_that_no_position_of_a_group_may_use_together():
    logits = torch.tensor([[0.0, -INF], [-INF, 0.0]])
    with pytest.raises(NotFiniteError, match="leave an expert"):
        LOSSES["pooled"](logits)
    assert LOSSES["moefm_loss"](logits).isfinite()


def test_no_look_while_something_traces():
    """Per-sample gradients by torch.func cannot branch on values, and need not."""
    assert can_look(torch.zeros(1)) and not traced()
    assert not can_look(torch.zeros(1, device="meta"))
    seen = []

    def loss(w):
        seen.append((traced(), can_look(w)))
        return LOSSES["moefm_loss"](w.unsqueeze(0))

    grads = torch.func.vmap(torch.func.grad(loss))(torch.randn(4, 3))
    assert grads.shape == (4, 3) and seen == [(True, False)]


def test_no_graph_is_captured_without_a_device():
    assert not capturing() and not traced()
