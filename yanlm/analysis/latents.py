"""The latents of held-out texts, and how many tokens are still decoded right from them once noise is added."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from yanlm.seeding import generators, row_seed
from yanlm.tokenization.collation import Example
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

NOISE_LEVELS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
"""Standard deviations of the noise under which latents are decoded."""

LEAST = 50
"""Fewest latents that say anything about their distribution."""

_ROWS, _TOKENS, _NOISE, NORMAL = range(4)  # independent streams of random numbers


@dataclass(frozen=True)
class Inspection:
    """What :func:`yanlm.analysis.inspection.inspect_latents` measured.

    Attributes:
        numbers: JSON-able; see there.
        coordinates: Latents on their first two principal components, ``(n, 2)``.
        ids: Their tokens, ``(n,)``.
        frequent: The most frequent tokens among them, with what they look like in print.
    """

    numbers: dict[str, Any]
    coordinates: Tensor = field(repr=False)
    ids: Tensor = field(repr=False)
    frequent: list[tuple[int, str]]


def generator(seed: int, stream: int) -> torch.Generator:
    """A source of draws of its own: seeded with a plain 0, the noise would repeat the draws of a model's weights."""
    return generators([seed], stream)[0]


def clean_examples(builder: Builder, rows: Sequence[Mapping[str, Any]], enough: int, seed: int) -> list[Example]:
    """Whole texts, in an order drawn with the seed, until there are ``enough`` tokens."""
    examples, total = [], 0
    for i in torch.randperm(len(rows), generator=generator(seed, _ROWS)).tolist():
        if total >= enough:
            break
        examples.append(builder.example(rows[i], row_seed(seed, 0, i)))
        total += len(examples[-1].target)
    if total < LEAST:
        raise ValueError(f"rows must hold at least {LEAST} tokens, got {total} in {len(rows)} rows; give more text")
    return examples


@torch.no_grad()
def draw_latents(
    model: YanModel, builder: Builder, examples: Sequence[Example], tokens: int, seed: int, size: int = 32
) -> tuple[Tensor, Tensor, float]:
    """Latents ``(n, d)`` of drawn tokens ``(n,)``, and the share of all tokens that decode to themselves."""
    total = sum(len(example.target) for example in examples)
    drawn = torch.randperm(total, generator=generator(seed, _TOKENS))[:tokens]
    keep = torch.zeros(total, dtype=torch.bool).index_fill(0, drawn, True)
    states, kept, right, at = [], [], 0, 0
    for start in range(0, len(examples), size):
        batch = builder.collate(examples[start : start + size])
        ids, mask = batch["target_ids"].to(model.device), batch["target_mask"].to(model.device)
        z, ids = model.encode(ids, mask)[mask], ids[mask]
        right += int((model.decoder.tokens(z) == ids).sum())
        here = keep[at : at + len(z)].to(model.device)
        states.append(z[here].float().cpu())
        kept.append(ids[here].cpu())
        at += len(z)
    return torch.cat(states), torch.cat(kept), right / total


@torch.no_grad()
def accuracy_under_noise(
    model: YanModel, z: Tensor, ids: Tensor, levels: Sequence[float], seed: int
) -> dict[str, float]:
    """Share of tokens decoded right from ``z + s eps``, by s; eps is the same for every s."""
    noise = torch.randn(z.shape, generator=generator(seed, _NOISE))
    noisy = ((z + level * noise).to(model.device, model.dtype) for level in levels)
    guesses = [model.decoder.tokens(latents).cpu() for latents in noisy]
    return {f"{s:g}": float((guess == ids).double().mean()) for s, guess in zip(levels, guesses, strict=True)}


def checked_levels(noise_levels: Sequence[float]) -> list[float]:
    """Standard deviations of the noise, each once, in order."""
    levels = sorted({float(level) for level in noise_levels})
    if not levels or not all(0 <= level < math.inf for level in levels):
        raise ValueError(f"noise_levels must be finite numbers of at least 0, got {list(noise_levels)}")
    return levels


def crossing(levels: Sequence[float], accuracy: Sequence[float], height: float = 0.5) -> float | None:
    """Level at which the accuracy falls to ``height``, linear between two levels; None if it never does."""
    for (s0, a0), (s1, a1) in pairwise(zip(levels, accuracy, strict=True)):
        if a0 >= height > a1:
            return s0 + (s1 - s0) * (a0 - height) / (a0 - a1)
    return None
