"""What a noisy view of a code word tells about it."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from moefm.checks import check_count
from moefm.generators import fresh

ENTRIES = 2**22
"""Entries of a matrix of posteriors that are held at once."""


def codebook_cross_entropy(
    codebook: Tensor,
    times: Tensor,
    *,
    probabilities: Tensor | None = None,
    samples: int = 1024,
    generator: Generator | None = None,
) -> Tensor:
    r"""Cross-entropy of the exact posterior over words, given :math:`z_t = t e_y + (1 - t) z_0`.

    Given :math:`z_t`, the words have the posterior
    :math:`p(v | z_t) \propto p_v \exp(-|z_t - t e_v|^2 / 2 (1 - t)^2)`, so that

    .. math:: c(t) = E[-\log p(y | z_t)]
              = E \log \sum_v \frac{p_v}{p_y} e^{a \langle z_0, e_v - e_y\rangle - a^2 |e_v - e_y|^2 / 2},
              \qquad a = \frac{t}{1 - t}.

    The mean is over draws of y and :math:`z_0`, the same at every t.

    Args:
        codebook: The vectors e of all words ``(V, D)``.
        times: Times t ``(N,)``, at least 0 and below 1.
        probabilities: Probabilities of the words ``(V,)``, normalized here; ``None`` for equal ones.
        samples: Number of draws of y and of the noise.
        generator: Source of the draws.

    Returns:
        Cross-entropies in nats ``(N,)``, float32 on the CPU.

    Raises:
        ValueError: A shape does not fit, or a number is out of range.

    Example:
        >>> words = torch.eye(4)
        >>> codebook_cross_entropy(words, torch.tensor([0.0, 0.99]))  # log 4, then nothing is left to know
        tensor([1.3863, 0.0000])
    """
    vectors = codebook.detach().double().cpu()
    if vectors.ndim != 2 or not len(vectors) or not bool(vectors.isfinite().all()):
        raise ValueError(f"codebook must hold finite vectors (V, D), got shape {tuple(codebook.shape)}")
    at = times.detach().double().cpu()
    if at.ndim != 1 or not bool(((at >= 0) & (at < 1)).all()):
        raise ValueError("times must be a vector of times of at least 0 and below 1")
    log_p = _log_probabilities(probabilities, len(vectors))
    samples = check_count("samples", samples)
    source = fresh(generator)
    y = torch.multinomial(log_p.exp().float().to(source.device), samples, replacement=True, generator=source).cpu()
    noise = torch.randn(samples, vectors.shape[1], generator=source, device=source.device).cpu().double()
    curve = torch.zeros_like(at)
    for chunk in torch.arange(samples).split(max(1, ENTRIES // len(vectors))):
        curve += _cross_entropies(vectors, log_p, y[chunk], noise[chunk], at).sum(1)
    return (curve / samples).float()


def _log_probabilities(probabilities: Tensor | None, words: int) -> Tensor:
    """Logarithms of normalised probabilities ``(V,)``, in float64 on the CPU."""
    p = torch.ones(words).double() if probabilities is None else probabilities.detach().double().cpu()
    if p.shape != (words,) or not bool(p.isfinite().all() & (p >= 0).all() & (p.sum() > 0)):
        raise ValueError(
            f"probabilities must be {words} finite numbers of at least 0, not all 0, got shape {tuple(p.shape)}"
        )
    return (p / p.sum()).log()


def _cross_entropies(vectors: Tensor, log_p: Tensor, y: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """-log p(y | z_t) of every draw at every time, ``(times, draws)``."""
    words = vectors[y]
    squares = vectors.square().sum(-1)
    distance = squares + squares[y].unsqueeze(-1) - 2 * words @ vectors.T
    projected = noise @ vectors.T - (noise * words).sum(-1, keepdim=True)
    prior = log_p - log_p[y].unsqueeze(-1)
    return torch.stack([torch.logsumexp(prior + a * projected - a**2 / 2 * distance, -1) for a in times / (1 - times)])
