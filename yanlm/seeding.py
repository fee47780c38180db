"""Seeded randomness, row by row: what happens to a row depends on its own seed and on nothing else in the batch."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from moefm.generators import fresh

_MASK = (1 << 64) - 1

# Independent streams of a row's randomness, so that switching one use off leaves the draws of the others alone.
NOISE, TIME, EXPERT, ENCODER, GAUSSIAN, KNOWN, REVEALED, LEFT = range(8)  # below 8: see sample_streams
COUPLED = -1  # below 0: no sample has it


def _mix(x: int) -> int:
    """Finalizer of splitmix64: every bit of the input changes about half of the output's bits."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def row_seed(seed: int, step: int, row: int) -> int:
    """Seed of one row of one batch: a 63-bit hash of the run's seed, the step and the row's place in the global batch.

    Example:
        >>> row_seed(0, 1, 2) == row_seed(0, 1, 2), row_seed(0, 1, 2) == row_seed(0, 2, 1)
        (True, False)
    """
    return _mix(_mix(_mix(seed & _MASK) ^ (step & _MASK)) ^ (row & _MASK)) >> 1


def text_seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """Seeds of the rows of ``count`` texts: from one seed and their places, or each from its own as if it were alone.

    Raises:
        ValueError: A seed is no integer, or there is not one for each text.

    Example:
        >>> text_seeds(7, 2)[0] == text_seeds([5, 7], 2)[1]
        True
    """
    if isinstance(seed, Sequence) and not isinstance(seed, str):
        if len(seed) != count:
            raise ValueError(f"seed must be one integer, or one for each of the {count} texts, got {len(seed)}")
        return [row_seed(_integer(own), 0, 0) for own in seed]
    return [row_seed(_integer(seed), 0, place) for place in range(count)]


def _integer(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise ValueError(f"seed must be an integer, got {seed!r}")
    return int(seed)


def fresh_seeds(count: int) -> list[int]:
    """Seeds for rows that were given none, from the system's randomness."""
    return torch.randint(2**62, (count,), generator=fresh(None)).tolist()


def generators(seeds: Sequence[int], salt: int = 0, device: torch.device | str = "cpu") -> list[Generator]:
    """One generator a row; another ``salt`` gives another independent stream of the same rows.

    On the CPU, what is drawn is the same whatever device the model is on. If there is much to draw, such as noise for
    every token in training, drawing on the device itself avoids a wait.
    """
    return [torch.Generator(device).manual_seed(_mix(seed ^ _mix(salt)) >> 1) for seed in seeds]


def sample_streams(
    seeds: Sequence[int], samples: int, salt: int, device: torch.device | str = "cpu"
) -> list[Generator]:
    """One generator for every sample of every row: asking for more samples leaves the first ones as they were."""
    return [generators([seed], salt + 8 * sample, device)[0] for seed in seeds for sample in range(samples)]


def row_normal(sources: Sequence[Generator], held: Tensor, dim: int) -> Tensor:
    """Standard normal vectors ``(B, L, dim)`` wherever ``held`` ``(B, L)`` is true, zeros elsewhere.

    Every row draws only what it needs, from its own source and in order, so that its noise is the same alone and in a
    padded batch. The result is on the device of the sources.

    Example:
        >>> alone = row_normal(generators([7]), torch.tensor([[True, True]]), 3)
        >>> padded = row_normal(generators([1, 7]), torch.tensor([[True, True, True], [True, False, True]]), 3)
        >>> bool((alone[0] == padded[1, [0, 2]]).all())
        True
    """
    counts = held.sum(1).tolist()
    drawn = [
        torch.randn(count, dim, generator=source, device=source.device)
        for source, count in zip(sources, counts, strict=True)
    ]
    out = torch.zeros(*held.shape, dim, device=sources[0].device if sources else None)
    if drawn:
        out[held.to(out.device)] = torch.cat(drawn)
    return out


def row_uniform(sources: Sequence[Generator]) -> Tensor:
    """One uniform number in [0, 1) a row, ``(B,)``."""
    return torch.stack([torch.rand((), generator=source, device=source.device) for source in sources])


def kept(mask: Tensor, share: float, seeds: Sequence[int]) -> Tensor:
    """A random ``share`` of the positions of every row, boolean ``(B, L)``; each row's follow from its own seed."""
    if share in (0, 1):  # nothing to draw
        return torch.full_like(mask, bool(share))
    draws = [torch.rand(mask.shape[1], generator=source) for source in generators(seeds, KNOWN)]
    return (torch.stack(draws) < share).to(mask.device)
