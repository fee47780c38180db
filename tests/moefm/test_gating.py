"""The gating network."""

import math

import pytest
import torch

from moefm import Gate
from moefm.scope import group_mean


def make_gate(*args, seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Gate(*args, **options)


def test_starts_close_to_uniform_but_not_dead(randn):
    gate = make_gate(5, 4)
    logits = gate(randn(1000, 5))
    pi = logits.softmax(-1)
    assert (pi - 0.25).abs().max() < 0.05
    assert logits.std(0).min() > 1e-3  # it does look at its input
    logits.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in gate.parameters())


def test_two_layers_by_hand(randn):
    gate, x = make_gate(3, 4, hidden=8), randn(6, 3)
    hidden = torch.nn.functional.silu(x @ gate.first.weight.T + gate.first.bias)
    torch.testing.assert_close(gate(x), hidden @ gate.last.weight.T + gate.last.bias)


def test_temperature_divides_the_logits(randn):
    warm, cold = make_gate(3, 4), make_gate(3, 4, temperature=0.25)
    torch.testing.assert_close(cold(randn(6, 3)), 4 * warm(randn(6, 3)))
    torch.testing.assert_close(make_gate(3, 4, temperature=2.0)(randn(6, 3)), warm(randn(6, 3)) / 2)


def test_init_scale_scales_the_last_layer_alone():
    small, large = make_gate(3, 4), make_gate(3, 4, init_scale=1.0)
    torch.testing.assert_close(small.last.weight * 10, large.last.weight)
    torch.testing.assert_close(small.last.bias * 10, large.last.bias)
    assert torch.equal(small.first.weight, large.first.weight)
    assert small.last.weight.abs().max() <= 0.1 / math.sqrt(64)


@pytest.mark.parametrize("scope", [None, -1, (0, 1), torch.tensor([[0, 0, 1], [2, 1, 1]])])
def test_scope_and_mask_pool_the_logits(randn, scope):
    gate, x = make_gate(3, 4), randn(2, 3, 3)
    mask = torch.tensor([[True, True, False], [True, False, True]])
    spoiled = x.masked_fill(~mask.unsqueeze(-1), torch.nan)
    pooled = gate(spoiled, scope, mask)
    torch.testing.assert_close(pooled[mask], group_mean(gate(x), scope, mask)[mask])


def test_token_level_is_the_flattened_computation(randn):
    gate, x = make_gate(3, 4), randn(2, 5, 3)
    torch.testing.assert_close(gate(x).flatten(0, 1), gate(x.flatten(0, 1)))
