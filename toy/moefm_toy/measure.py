"""Measure a trained field: samples at every step count against held-out points, trajectories, experts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from moefm import MixtureField, sample
from moefm.diagnostics import (
    dead_experts,
    effective_experts,
    excess_w2,
    expert_usage,
    off_support,
    path_ratio,
    straightness,
    w2,
)
from moefm.regularizers import gate_entropy, mmd2
from moefm.sampling import Sample
from moefm_toy.datasets import Dataset
from moefm_toy.settings import LAST, Settings, generator

FINE_STEPS = 100
FLOOR_CLOUDS = 4
SUPPORT_POINTS = 4000


class Clouds(NamedTuple):
    """What samples are compared with.

    Attributes:
        held_out: One or more clouds of held-out points ``(n, D)``; the first is the one that figures show.
        support: Points ``(m, D)`` that stand for the support of the data.
        fresh: Points ``(n, D)`` that set the radius of the support.
        floor: W2 of fresh data to the held-out clouds, root mean square: what a perfect sampler would get.
    """

    held_out: tuple[Tensor, ...]
    support: Tensor
    fresh: Tensor
    floor: float


def root_mean_square(values: Iterable[float]) -> float:
    """Root of the mean square, as distances are averaged here.

    Example:
        >>> root_mean_square([1.0, 7.0])
        5.0
    """
    squares = [value**2 for value in values]
    return math.sqrt(sum(squares) / len(squares))


def draw_clouds(dataset: Dataset, points: int, seed: int, clouds: int = 1) -> Clouds:
    """Draw held-out points, support and fresh points, and measure the noise floor.

    W2 between clouds of this size varies from draw to draw mostly by how many points fall to each mode, so several are
    averaged; a finite data set has one held-out cloud.
    """
    count = min(points, dataset.max_test or points)
    source = generator(seed, 1)
    held_out = [dataset.draw_test(count, source)]
    others = [dataset.draw_distinct(count, source) for _ in range(FLOOR_CLOUDS)]
    support = dataset.draw_distinct(min(SUPPORT_POINTS, dataset.max_train or SUPPORT_POINTS), source)
    fresh = dataset.draw_test(count, source)
    if dataset.max_test is None:
        held_out += [dataset.draw_test(count, source) for _ in range(clouds - 1)]
    floor = root_mean_square(w2(other, data) for other in others for data in held_out)
    return Clouds(tuple(held_out), support, fresh, floor)


def draw_samples(
    field: MixtureField,
    settings: Settings,
    seed: int,
    shape: torch.Size,
    steps: int,
    fine: bool = False,
    hint: float = 0.0,
) -> Sample:
    """Samples from the same noise and the same draws at every step count, on the CPU."""
    noise = torch.randn(shape, generator=generator(seed, 3)).to(settings.device)
    # Fine trajectories are on a uniform grid, whatever the field, so that figures show them at equal times.
    times = None if fine or field.time_change is None else field.time_change.grid(steps, last=LAST)
    with torch.no_grad():
        drawn = sample(
            field,
            noise,
            steps,
            times=times,
            hint=hint,
            solver=settings.solver,
            routing=settings.routing,
            generator=generator(seed, 4),
            trajectory=fine,
        )
    return Sample(
        drawn.z1.cpu(),
        None if drawn.assignment is None else drawn.assignment.cpu(),
        None if drawn.trajectory is None else drawn.trajectory.cpu(),
        drawn.times.cpu(),
        drawn.nfe,
    )


def draw_for_clouds(
    field: MixtureField, settings: Settings, seed: int, clouds: Clouds, steps: int, hint: float = 0.0
) -> list[Sample]:
    """Samples of its own for every held-out cloud.

    Each cloud has its own seed, far from those of other runs, so that no two share their noise.
    """
    shape, seeds = clouds.held_out[0].shape, (seed + 10**6 * i for i in range(len(clouds.held_out)))
    return [draw_samples(field, settings, own, shape, steps, hint=hint) for own in seeds]


def compare(samples: Sequence[Sample], clouds: Clouds) -> dict[str, Any]:
    """Average distances of samples to the held-out clouds, with its own samples for each cloud."""
    pairs = list(zip(samples, clouds.held_out, strict=True))
    distance = root_mean_square(w2(drawn.z1, data) for drawn, data in pairs)
    return {
        "w2": distance,
        "excess_w2": excess_w2(distance, clouds.floor),
        "mmd2": sum(float(mmd2(drawn.z1, data)) for drawn, data in pairs) / len(pairs),
        "off_support": off_support(torch.cat([drawn.z1 for drawn in samples]), clouds.support, clouds.fresh),
        "nfe": samples[0].nfe,
    }


def measure(
    field: MixtureField, settings: Settings, seed: int, clouds: Clouds
) -> tuple[dict[str, Any], dict[int, Sample], Sample]:
    """Sample at every step count and compare; returns numbers, the first samples and their fine trajectories."""
    by_steps, first = {}, {}
    for steps in settings.steps:
        samples = draw_for_clouds(field, settings, seed, clouds, steps)
        by_steps[str(steps)], first[steps] = compare(samples, clouds), samples[0]
    fine = draw_samples(field, settings, seed, clouds.held_out[0].shape, FINE_STEPS, fine=True)
    assert fine.trajectory is not None
    with torch.no_grad():
        logits = field.gate(fine.trajectory[0].to(settings.device), 0.0).cpu()
    if fine.assignment is None:
        usage = torch.softmax(logits, -1).mean(0)
    else:
        usage = expert_usage(fine.assignment, field.num_experts)
    metrics = {
        "by_steps": by_steps,
        "straightness": straightness(fine.trajectory, fine.times),
        "path_ratio": path_ratio(fine.trajectory),
        "experts": {
            "effective": effective_experts(usage),
            "usage": usage.tolist(),
            "dead": dead_experts(usage),
            "gate_entropy": float(gate_entropy(logits)),
        },
    }
    return metrics, first, fine
