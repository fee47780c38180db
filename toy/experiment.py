"""The toy experiment: train each method on the same data and budget, sample at several step counts, measure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moefm import VFM, ConsistentMoEFM, MLPMixtureField, MoEFM, Objective, fit, load_field, sample, save_field
from moefm.couplings import COUPLINGS
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
from toy.datasets import Dataset

METHODS = ("vfm", "moefm", "consistent")
SIGMA = {"vfm": 1.0, "moefm": 0.1, "consistent": 0.2}
"""Default sigma of each method; VFM has none, its loss does not depend on it."""
FINE_STEPS = 100
FLOOR_CLOUDS = 4
SUPPORT_POINTS = 4000

Report = Callable[[str, int, int], None]
"""Progress: called as ``report(stage, done, total)``."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers of a run.

    Attributes:
        methods: Which of ``vfm``, ``moefm``, ``consistent``.
        experts: K of the mixtures; ``None`` takes the data set's.
        sigma: Of the mixtures; ``None`` takes each method's own.
        steps: Step counts to sample with.
        train_steps: Optimizer steps.
        batch_size: Evaluations of the trunk a step: the consistent loss uses half as many pairs.
        points: Samples per measurement; fewer where a data set has fewer held-out points.
        hidden: Width of VFM's layers; the mixtures get the width that matches its parameters.
        coupling: ``independent`` or ``ot``.
        routing: Routing policy of the sampler.
        solver: Solver of the sampler.
        lr: Peak learning rate.
        ema: Decay of the average of the weights, 0 for none.
        device: Where to train and sample.
    """

    methods: tuple[str, ...] = METHODS
    experts: int | None = None
    sigma: float | None = None
    steps: tuple[int, ...] = (1, 2, 4, 8, 100)
    train_steps: int = 3000
    batch_size: int = 256
    points: int = 1000
    hidden: int = 128
    coupling: str = "independent"
    routing: str = "frozen"
    solver: str = "euler"
    lr: float = 2e-3
    ema: float = 0.0
    device: str = "cpu"


@dataclass(frozen=True)
class MethodRun:
    """One trained method of one seed: its numbers and what the figures draw."""

    metrics: dict[str, Any]
    field: MLPMixtureField
    sigma: float
    samples: Mapping[int, Sample]
    fine: Sample


@dataclass(frozen=True)
class SeedRun:
    """All methods on one seed, with the held-out points they were compared with."""

    seed: int
    floor: float
    data: Tensor
    methods: Mapping[str, MethodRun]


def generator(seed: int, stream: int) -> torch.Generator:
    """A generator for one purpose: streams of the same seed do not overlap."""
    return torch.Generator().manual_seed(1_000_003 * seed + stream)


def parameters(field: torch.nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in field.parameters())


def build_field(dim: int, experts: int, hidden: int, seed: int) -> MLPMixtureField:
    """A field with as many parameters as the single-expert field of width ``hidden``, or just below.

    Example:
        >>> parameters(build_field(2, 1, 128, 0)), parameters(build_field(2, 8, 128, 0))
        (33794, 33756)
    """
    with torch.random.fork_rng(devices=[]):
        budget = parameters(MLPMixtureField(dim, 1, hidden))
        width = hidden
        while experts > 1 and width > 8 and parameters(MLPMixtureField(dim, experts, width)) > budget:
            width -= 1
        torch.manual_seed(seed)
        return MLPMixtureField(dim, experts, width)


def objective(method: str, sigma: float) -> Objective:
    """The training objective of a method."""
    return {"vfm": VFM(), "moefm": MoEFM(sigma), "consistent": ConsistentMoEFM(sigma)}[method]


def train(
    dataset: Dataset, method: str, settings: Settings, seed: int, folder: Path | None, resume: bool, report: Report
) -> tuple[MLPMixtureField, float, float]:
    """Train one method, or load it from ``folder`` where the same was trained; returns field, sigma and seconds."""
    experts = 1 if method == "vfm" else settings.experts or dataset.experts
    sigma = SIGMA[method] if method == "vfm" or settings.sigma is None else settings.sigma
    identity = {
        "dataset": dataset.name, "dim": dataset.dim, "method": method, "experts": experts, "sigma": sigma, "seed": seed,
        **{k: getattr(settings, k) for k in ("train_steps", "batch_size", "hidden", "coupling", "lr", "ema")},
    }  # fmt: skip
    if resume and folder is not None and (folder / "config.json").exists():
        extra = json.loads((folder / "config.json").read_text(encoding="utf-8"))["extra"]
        if {k: extra.get(k) for k in identity} == identity:
            return load_field(folder, settings.device), sigma, float(extra["train_seconds"])
    field = build_field(dataset.dim, experts, settings.hidden, seed).to(settings.device)
    goal = objective(method, sigma)
    result = fit(
        field,
        dataset.draw,
        goal,
        steps=settings.train_steps,
        batch_size=max(1, settings.batch_size // goal.evaluations),
        lr=settings.lr,
        ema=settings.ema or None,
        coupling=COUPLINGS[settings.coupling],
        generator=generator(seed, 0),
        callback=lambda step, _: report(f"train {method}", step, settings.train_steps),
    )
    if folder is not None:
        save_field(field, folder, **identity, train_seconds=result.seconds)
    return field, sigma, result.seconds


def measure(
    field: MLPMixtureField, settings: Settings, seed: int, clouds: tuple[Tensor, Tensor, Tensor], floor: float
) -> tuple[dict[str, Any], dict[int, Sample], Sample]:
    """Sample at every step count, from the same noise, and compare with held-out points."""
    data, support, fresh = clouds
    noise = torch.randn(len(data), field.dim, generator=generator(seed, 3)).to(settings.device)

    def draw(steps: int, trajectory: bool = False) -> Sample:
        drawn = sample(
            field,
            noise,
            steps,
            solver=settings.solver,
            routing=settings.routing,
            generator=generator(seed, 4),
            trajectory=trajectory,
        )
        return Sample(
            drawn.z1.cpu(),
            None if drawn.assignment is None else drawn.assignment.cpu(),
            None if drawn.trajectory is None else drawn.trajectory.cpu(),
            drawn.times.cpu(),
            drawn.nfe,
        )

    with torch.no_grad():
        samples = {steps: draw(steps) for steps in settings.steps}
        fine = draw(FINE_STEPS, trajectory=True)
        logits = field.gate(noise, 0.0).cpu()
    by_steps = {}
    for steps, drawn in samples.items():
        distance = w2(drawn.z1, data)
        by_steps[str(steps)] = {
            "w2": distance,
            "excess_w2": excess_w2(distance, floor),
            "mmd2": float(mmd2(drawn.z1, data)),
            "off_support": off_support(drawn.z1, support, fresh),
            "nfe": drawn.nfe,
        }
    assert fine.trajectory is not None
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
    return metrics, samples, fine


def draw_clouds(dataset: Dataset, points: int, seed: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """Held-out data, support points, fresh points for the off-support radius, and the noise floor of W2.

    The floor is what a perfect sampler would get: the root mean square of W2 between the held-out points and
    independent draws of the data.
    """
    count = min(points, dataset.max_test or points)
    source = generator(seed, 1)
    data = dataset.draw_test(count, source)
    clouds = [dataset.draw_distinct(count, source) for _ in range(FLOOR_CLOUDS)]
    floor = math.sqrt(sum(w2(cloud, data) ** 2 for cloud in clouds) / FLOOR_CLOUDS)
    support = dataset.draw_distinct(min(SUPPORT_POINTS, dataset.max_train or SUPPORT_POINTS), source)
    return data, support, dataset.draw_test(count, source), floor


def run_seed(
    dataset: Dataset,
    settings: Settings,
    seed: int,
    report: Report = lambda *_: None,
    folder: Path | None = None,
    resume: bool = False,
) -> SeedRun:
    """Train and measure every method on one seed.

    Example:
        >>> from toy.datasets import load_dataset
        >>> quick = Settings(methods=("moefm",), steps=(1, 4), train_steps=2, points=50, hidden=16)
        >>> run = run_seed(load_dataset("moons"), quick, seed=0)
        >>> run.methods["moefm"].metrics["by_steps"]["4"]["nfe"]
        4
    """
    *clouds, floor = draw_clouds(dataset, settings.points, seed)
    methods = {}
    for method in settings.methods:
        where = None if folder is None else folder / f"seed-{seed}" / method
        field, sigma, seconds = train(dataset, method, settings, seed, where, resume, report)
        report(f"measure {method}", 0, 1)
        numbers, samples, fine = measure(field, settings, seed, (clouds[0], clouds[1], clouds[2]), floor)
        metrics = {"parameters": parameters(field), "train_seconds": seconds, **numbers}
        methods[method] = MethodRun(metrics, field.cpu(), sigma, samples, fine)
        report(f"measure {method}", 1, 1)
    return SeedRun(seed, floor, clouds[0], methods)


def settings_dict(settings: Settings) -> dict[str, Any]:
    """Settings as JSON holds them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}
