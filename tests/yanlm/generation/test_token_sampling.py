"""Tokens chosen from logits."""

from __future__ import annotations

import pytest
import torch

from yanlm.generation.token_sampling import choose, margin


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([0.5, 2.0, -1.0, 9.0]).repeat(40_000, 1)
    uniforms = torch.rand(len(logits), generator=torch.Generator().manual_seed(0))
    for temperature in (0.5, 1.0, 2.0):
        tokens, sure = choose(logits, [3], temperature, uniforms)
        wanted = (logits[0, :3] / temperature).softmax(0)
        assert torch.allclose(tokens.bincount(minlength=4)[:3] / len(tokens), wanted, atol=0.01)
        assert torch.allclose(sure, logits[0, :3].softmax(0)[tokens])
    assert choose(logits, [3], 1.0, torch.full((len(logits),), 1 - 2**-24))[0].max() == 2
    with pytest.raises(ValueError, match="uniforms"):
        choose(logits, [3], 1.0)


@pytest.mark.parametrize("temperature", [1e-30, 1e-40, 5e-324])
def test_the_coldest_draw_is_the_most_probable_token(temperature: float) -> None:
    logits = torch.tensor([[-900.0, 800.0, 799.0, 801.0]] * 2)
    assert choose(logits, [3], temperature, torch.tensor([0.0, 0.999]))[0].tolist() == [1, 1]


def test_the_margin_is_that_of_tokens_that_may_be_written() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]).log()
    assert torch.allclose(margin(logits, []), torch.tensor([0.3, 0.7]))
    assert torch.allclose(margin(logits, [2]), torch.tensor([1 / 3, 0.0]), atol=1e-6)
    each = torch.tensor([[True, False, False], [False, False, True]])
    assert torch.allclose(margin(logits, each), torch.tensor([0.5, 0.0]), atol=1e-6)
