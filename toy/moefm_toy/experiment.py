"""The toy experiment: train each method on the same data and budget, sample at several step counts, measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from moefm import (
    VFM,
    ConsistentMoEFM,
    InformationTime,
    Loss,
    MLPMixtureField,
    MoEFM,
    Objective,
    UniformTime,
    fit,
    load_field,
    save_field,
)
from moefm.couplings import COUPLINGS
from moefm.sampling import Sample
from moefm_toy.datasets import Dataset
from moefm_toy.measure import draw_clouds, measure
from moefm_toy.settings import IN_INFORMATION_TIME, Settings, generator

SIGMA = {"vfm": 1.0, "moefm": 0.1, "consistent": 0.2}
"""Default sigma of each method; VFM has none, its loss does not depend on it."""
LR = {"vfm": 2e-3, "moefm": 1e-3, "consistent": 2e-3}
"""Default learning rate of each method: the best of 1e-3 and 2e-3 for it. The faster the paper's loss is trained, the
more its experts drift; the other two are still improving after 3000 steps."""
Report = Callable[[str, int, int], None]
"""Progress: called as ``report(stage, done, total)``."""


@dataclass(frozen=True)
class MethodRun:
    """One trained method of one seed: its numbers and what the figures draw."""

    metrics: dict[str, Any]
    field: MLPMixtureField
    sigma: float
    samples: Mapping[int, Sample]
    fine: Sample
    losses: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True)
class SeedRun:
    """All methods on one seed, with the held-out points they were compared with."""

    seed: int
    floor: float
    data: Tensor
    methods: Mapping[str, MethodRun]


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
    """The training objective of a method.

    Example:
        >>> objective("vfm-information", 1.0)
        VFM(time=InformationTime(bins=64, uniform=0.1))
    """
    time = InformationTime() if method in IN_INFORMATION_TIME else UniformTime()
    goals = {"vfm": VFM(time), "moefm": MoEFM(sigma, time), "consistent": ConsistentMoEFM(sigma, time)}
    return goals[loss_of(method)]


def loss_of(method: str) -> str:
    """The method without its time: ``vfm``, ``moefm`` or ``consistent``."""
    return IN_INFORMATION_TIME.get(method, method)


def thinned(totals: Sequence[Tensor], points: int = 100) -> list[tuple[int, float]]:
    """Means of the losses over equal numbers of steps, each with its last step.

    Example:
        >>> thinned([torch.tensor(float(i)) for i in range(6)], points=3)
        [(2, 0.5), (4, 2.5), (6, 4.5)]
    """
    parts = torch.stack(list(totals)).double().cpu().tensor_split(min(points, len(totals)))
    ends = torch.tensor([len(part) for part in parts]).cumsum(0).tolist()
    return [(end, float(part.mean())) for end, part in zip(ends, parts, strict=True)]


class Trained(NamedTuple):
    """A trained field, its sigma, the seconds it took, and ``(step, loss)`` pairs."""

    field: MLPMixtureField
    sigma: float
    seconds: float
    losses: Sequence[tuple[int, float]]


def train(
    dataset: Dataset, method: str, settings: Settings, seed: int, folder: Path | None, resume: bool, report: Report
) -> Trained:
    """Train one method, or load it from ``folder`` if the same training is there."""
    loss = loss_of(method)
    experts = 1 if loss == "vfm" else settings.experts or dataset.experts
    sigma = SIGMA[loss] if loss == "vfm" or settings.sigma is None else settings.sigma
    identity = {
        "dataset": dataset.name, "rows": dataset.digest, "dim": dataset.dim, "method": method, "experts": experts,
        "sigma": sigma, "seed": seed,
        "lr": LR[loss] if settings.lr is None else settings.lr,
        "hidden": dataset.hidden if settings.hidden is None else settings.hidden,
        **{k: getattr(settings, k) for k in ("train_steps", "batch_size", "coupling", "ema")},
    }  # fmt: skip
    if resume and folder is not None and (folder / "config.json").exists():
        extra = json.loads((folder / "config.json").read_text(encoding="utf-8"))["extra"]
        if {k: extra.get(k) for k in identity} == identity:
            known = cast(MLPMixtureField, load_field(folder, settings.device))
            return Trained(known, sigma, float(extra["train_seconds"]), extra.get("losses", ()))
    field = build_field(dataset.dim, experts, identity["hidden"], seed).to(settings.device)
    goal = objective(method, sigma)
    totals: list[Tensor] = []

    def callback(step: int, loss: Loss) -> None:
        totals.append(loss.total.detach())
        report(f"train {method}", step, settings.train_steps)

    result = fit(
        field,
        dataset.draw,
        goal,
        steps=settings.train_steps,
        batch_size=max(1, settings.batch_size // goal.evaluations),
        lr=identity["lr"],
        ema=settings.ema or None,
        coupling=COUPLINGS[settings.coupling],
        generator=generator(seed, 0),
        callback=callback,
    )
    losses = thinned(totals)
    if folder is not None:
        save_field(field, folder, **identity, train_seconds=result.seconds, losses=losses)
    return Trained(field, sigma, result.seconds, losses)


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
        >>> from moefm_toy.datasets import load_dataset
        >>> quick = Settings(methods=("moefm",), steps=(1, 4), train_steps=2, points=50, hidden=16)
        >>> run = run_seed(load_dataset("moons"), quick, seed=0)
        >>> run.methods["moefm"].metrics["by_steps"]["4"]["nfe"]
        4
    """
    clouds = draw_clouds(dataset, settings.points, seed, settings.clouds)
    methods = {}
    for method in settings.methods or dataset.methods:
        where = None if folder is None else folder / f"seed-{seed}" / method
        field, sigma, seconds, losses = train(dataset, method, settings, seed, where, resume, report)
        report(f"measure {method}", 0, 1)
        numbers, samples, fine = measure(field, settings, seed, clouds)
        metrics = {"parameters": parameters(field), "train_seconds": seconds, **numbers}
        methods[method] = MethodRun(metrics, field.cpu(), sigma, samples, fine, losses)
        report(f"measure {method}", 1, 1)
    return SeedRun(seed, clouds.floor, clouds.held_out[0], methods)
