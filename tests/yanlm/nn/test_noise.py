"""Reading noise: the posterior mean of a token's vector, and noise that is as large a hint as a draw."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yanlm.nn.noise import GUMBEL, first_time, mean_vectors, reading


def codebook(tokens: int, width: int) -> torch.Tensor:
    w = torch.randn(tokens, width, generator=torch.Generator().manual_seed(0))
    w = w - w.mean(-1, keepdim=True)
    return w / w.square().mean(-1, keepdim=True).sqrt()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("t", [torch.tensor([0.05, 0.6]), torch.tensor(0.2)])
def test_slots_show_the_mean_vector_of_the_tokens_they_may_stand_for(t: torch.Tensor) -> None:
    """By Bayes' rule, from the densities of z_t under every token."""
    vectors, z = codebook(9, 6), noise(2, 3, 6)
    at = t.reshape(-1, 1, 1, 1)
    density = torch.distributions.Normal(at * vectors, 1 - at).log_prob(z.unsqueeze(-2)).sum(-1)
    assert torch.allclose(mean_vectors(z, t, vectors), density.softmax(-1) @ vectors, atol=1e-4)


def test_at_the_ends_it_is_the_mean_of_all_and_the_token_itself() -> None:
    vectors = codebook(9, 6)
    z = vectors[:6].reshape(2, 3, 6)
    start, end = (mean_vectors(z, torch.tensor(t), vectors) for t in (0.0, 1.0))
    assert torch.allclose(start, vectors.mean(0).expand(2, 3, 6), atol=1e-6)
    assert torch.allclose(end, z, atol=1e-4)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_tokens_without_a_vector_do_not_count(t: float) -> None:
    vectors, z = codebook(9, 6), noise(2, 3, 6)
    more = torch.cat([vectors[:4], torch.zeros(3, 6), vectors[4:]])
    seen, same = (mean_vectors(z, torch.tensor(t), known) for known in (vectors, more))
    assert torch.allclose(seen, same, atol=1e-6)


def test_gradients_are_finite_at_all_times() -> None:
    vectors = codebook(9, 6).requires_grad_()
    for t in (0.0, 1e-6, 0.5, 1 - 1e-6, 1.0):
        mean_vectors(noise(2, 3, 6), torch.tensor(t), vectors).sum().backward()
    assert vectors.grad is not None and vectors.grad.isfinite().all()


@pytest.mark.parametrize("perturb", [0.5, 1.0, 2.0])
def test_noise_is_a_hint_of_the_size_of_a_draw(perturb: float) -> None:
    state, t = reading(noise(500, 2, 64), torch.tensor(0.0), perturb)
    hints = t / (1 - t) ** 2 * (state @ codebook(300, 64).T)  # of the log-probabilities of all tokens
    assert torch.distributions.Gumbel(0.0, 1.0).stddev == pytest.approx(GUMBEL)
    assert float(hints.std()) == pytest.approx(perturb * GUMBEL, rel=0.02)
    assert first_time(perturb, 64) == pytest.approx(float(t))


@given(st.floats(0, 100), st.integers(1, 2000))
def test_the_first_time_is_a_time(perturb: float, width: int) -> None:
    assert 0 <= first_time(perturb, width) < 1
    assert first_time(perturb, width) <= first_time(perturb + 1, width)


def test_only_the_start_is_read_otherwise() -> None:
    z = noise(2, 3, 8)
    state, t = reading(z, torch.tensor(0.0), 0.0)
    assert torch.equal(state, z) and t == 0, "it may also not be believed"
    state, t = reading(z, torch.tensor([0.0, 0.3]), 1.0)
    assert torch.equal(state[1], z[1]) and t[1] == 0.3
    assert torch.allclose(state[0], (1 - t[0]) * z[0]) and t[0] == pytest.approx(first_time(1.0, 8))
