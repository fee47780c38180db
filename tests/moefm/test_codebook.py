"""Cross-entropy of code words seen through noise."""

import math

import pytest
import torch

from moefm.codebook import codebook_cross_entropy


def test_two_words_by_numerical_integration(gen):
    """Words at +1 and -1 with shares .8 and .2: the posterior is a logistic function of the noisy sight."""
    p = torch.tensor([0.8, 0.2], dtype=torch.float64)
    times = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.7])
    got = codebook_cross_entropy(
        torch.tensor([[1.0], [-1.0]]), times, probabilities=2 * p, samples=200_000, generator=gen()
    )
    z = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
    for t, value in zip(times.double(), got, strict=True):
        density = torch.exp(-((z - t * torch.tensor([[1.0], [-1.0]])) ** 2) / (2 * (1 - t) ** 2))
        joint = p[:, None] * density / (math.sqrt(2 * math.pi) * (1 - t))
        entropy = -torch.trapezoid((joint * (joint / joint.sum(0)).clamp_min(1e-300).log()).sum(0), z)
        assert abs(value - entropy) < 4e-3


def test_a_large_codebook_is_done_in_parts(gen, monkeypatch):
    words, times = torch.randn(10, 3, generator=gen()), torch.tensor([0.2, 0.6])
    whole = codebook_cross_entropy(words, times, samples=50, generator=gen(1))
    monkeypatch.setattr("moefm.codebook.ENTRIES", 40)
    torch.testing.assert_close(codebook_cross_entropy(words, times, samples=50, generator=gen(1)), whole)


def test_words_of_no_probability_and_copies(gen):
    words = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    ends = torch.tensor([0.0, 0.99])
    copies = codebook_cross_entropy(words, ends, samples=3000, generator=gen())
    torch.testing.assert_close(copies, torch.tensor([math.log(3), 2 / 3 * math.log(2)]), atol=0.02, rtol=0)
    known = codebook_cross_entropy(words, ends, probabilities=torch.tensor([0.0, 1.0, 0.0]), generator=gen())
    assert known.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("times", [torch.ones(1), torch.tensor([-0.1]), torch.tensor([math.nan]), torch.tensor(0.5)])
def test_times_out_of_range(times):
    with pytest.raises(ValueError, match="times must be a vector of times"):
        codebook_cross_entropy(torch.eye(3), times)
