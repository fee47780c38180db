"""The methods that `benchmarks/peers.py` compares: other libraries' training code, k-means labels, and ours.

A trainer gives back a :class:`moefm.MixtureField`, so that the metrics of `moefm_toy.experiment` serve all of them
alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from moefm import Loss, MixtureField, MLPMixtureField, Objective, fit, sample
from moefm.objectives import PathPoint
from moefm_toy import experiment
from moefm_toy.datasets import Dataset
from moefm_toy.experiment import build_field, parameters
from moefm_toy.settings import Settings, generator

KMEANS_POINTS = 10_000

Trained = tuple[MixtureField, float, dict[str, float]]
"""The trained field, seconds, and further numbers to keep."""
Trainer = Callable[[Dataset, Settings, int], Trained]


@dataclass(frozen=True)
class PeerObjective(Objective):
    """Mean squared error, as in the peers' examples. `pairs` is theirs: noise, data -> times, points, target."""

    pairs: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]

    def __call__(self, field: MixtureField, z0: Tensor, z1: Tensor, **_: Any) -> Loss:
        return self.loss(field, PathPoint(z0, *self.pairs(z0, z1)), None, None)

    def loss(self, field: MixtureField, at: PathPoint, cond: Any, mask: Tensor | None) -> Loss:
        return mean_square(field.experts(at.z_t, at.t).squeeze(-2), at.target)


def mean_square(velocity: Tensor, target: Tensor) -> Loss:
    total = (velocity - target).square().mean()
    return Loss(total, total.detach(), torch.zeros(()))


class LabelField(MixtureField):
    """One network that reads a k-means label, seen as a mixture: expert k is the network given label k.

    Its gate is the labels' frequencies, so that frozen routing draws a label and keeps it: label-conditional sampling.
    """

    def __init__(self, dim: int, centers: Tensor, frequencies: Tensor, hidden: int) -> None:
        super().__init__()
        self.dim, self.num_experts = dim, len(centers)
        self.centers, self.log_frequencies = centers, frequencies.log()
        self.net = MLPMixtureField(dim, 1, hidden, cond_dim=len(centers))

    def trunk(self, z: Tensor, t: Tensor | float, cond: Any = None) -> tuple[Tensor, Tensor | float]:
        return z, t  # the network needs the label as well: it runs in `head`, once an evaluation

    def head(self, features: tuple[Tensor, Tensor | float], index: Tensor) -> Tensor:
        label = torch.nn.functional.one_hot(index, self.num_experts).to(features[0])
        return self.net.experts(*features, label).squeeze(-2)

    def heads(self, features: tuple[Tensor, Tensor | float]) -> Tensor:
        indices = torch.arange(self.num_experts).expand(*features[0].shape[:-1], -1).unbind(-1)
        return torch.stack([self.head(features, index) for index in indices], -2)

    def gate_logits(self, features: tuple[Tensor, Tensor | float]) -> Tensor:
        return self.log_frequencies.expand(*features[0].shape[:-1], -1)


class LabelObjective(Objective):
    """Flow matching given the label of the nearest k-means centre."""

    def loss(self, field: MixtureField, at: PathPoint, cond: Any, mask: Tensor | None) -> Loss:
        data = at.z0 + at.target
        label = torch.cdist(data, cast(LabelField, field).centers).argmin(-1)
        return mean_square(field.expert(at.z_t, at.t, label), at.target)


def descend(field: MixtureField, dataset: Dataset, goal: Objective, settings: Settings, seed: int) -> float:
    """Train with the optimizer, schedule and budget of `moefm_toy.experiment.train`; returns seconds."""
    np.random.seed(seed)  # torchcfm draws from the global generators
    torch.manual_seed(seed)
    size, source = settings.batch_size, generator(seed, 0)
    return fit(
        field, dataset.draw, goal, steps=settings.train_steps, batch_size=size, lr=settings.lr or 2e-3, generator=source
    ).seconds


def ours(method: str, coupling: str = "independent") -> Trainer:
    def run(dataset: Dataset, settings: Settings, seed: int) -> Trained:
        coupled = replace(settings, coupling=coupling)
        field, _, seconds, _ = experiment.train(dataset, method, coupled, seed, None, False, lambda *_: None)
        return field, seconds, {}

    return run


def torchcfm(matcher: str) -> Trainer:
    def run(dataset: Dataset, settings: Settings, seed: int) -> Trained:
        pairs = getattr(import_module("torchcfm"), matcher)(sigma=0.0).sample_location_and_conditional_flow
        field = build_field(dataset.dim, 1, settings.hidden or dataset.hidden, seed)
        return field, descend(field, dataset, PeerObjective(pairs), settings, seed), {}

    return run


def flow_matching(dataset: Dataset, settings: Settings, seed: int) -> Trained:
    """Meta's library: its conditional-OT path. Its own Euler solver is compared with ours on the trained network."""
    from flow_matching.path import AffineProbPath
    from flow_matching.path.scheduler import CondOTScheduler
    from flow_matching.solver import ODESolver

    path = AffineProbPath(scheduler=CondOTScheduler())

    def pairs(z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        drawn = path.sample(x_0=z0, x_1=z1, t=torch.rand(len(z1)))
        return drawn.t, drawn.x_t, drawn.dx_t

    field = build_field(dataset.dim, 1, settings.hidden or dataset.hidden, seed)
    seconds = descend(field, dataset, PeerObjective(pairs), settings, seed)
    solver = ODESolver(velocity_model=lambda x, t: field.experts(x, t).squeeze(-2))
    noise, gap = torch.randn(settings.points, dataset.dim, generator=generator(seed, 3)), 0.0
    for steps in settings.steps:
        theirs = solver.sample(noise, step_size=None, method="euler", time_grid=torch.linspace(0, 1, steps + 1))
        gap = max(gap, float((theirs - sample(field, noise, steps).z1).detach().abs().max()))
    return field, seconds, {"own_solver_gap": gap}


def kmeans_labels(dataset: Dataset, settings: Settings, seed: int) -> Trained:
    """Label-conditional flow matching with the K of the mixtures; the time of k-means counts as training."""
    from sklearn.cluster import KMeans

    began = time.perf_counter()
    points = dataset.draw(KMEANS_POINTS, generator(seed, 5)).numpy()
    clusters = KMeans(dataset.experts, n_init=10, random_state=seed).fit(points)
    centers = torch.as_tensor(clusters.cluster_centers_).float()
    frequencies = torch.bincount(torch.as_tensor(clusters.labels_).long(), minlength=len(centers)) / len(points)
    clustering = time.perf_counter() - began
    hidden = settings.hidden or dataset.hidden
    budget = parameters(build_field(dataset.dim, 1, hidden, seed))
    torch.manual_seed(seed)
    while parameters(field := LabelField(dataset.dim, centers, frequencies, hidden)) > budget:
        hidden -= 1
    return field, clustering + descend(field, dataset, LabelObjective(), settings, seed), {}


METHODS: dict[str, tuple[str, Trainer, tuple[str, ...]]] = {
    "vfm": ("ours: VFM", ours("vfm"), ()),
    "torchcfm-icfm": ("torchcfm I-CFM", torchcfm("ConditionalFlowMatcher"), ("torchcfm", "pot")),
    "flow-matching": ("flow_matching CondOT", flow_matching, ("flow_matching", "tqdm")),
    "torchcfm-otcfm": (
        "torchcfm OT-CFM", torchcfm("ExactOptimalTransportConditionalFlowMatcher"), ("torchcfm", "pot")
    ),
    "kmeans": ("k-means labels", kmeans_labels, ()),
    "moefm": ("ours: MoE-FM", ours("moefm"), ()),
    "consistent": ("ours: consistent", ours("consistent"), ()),
    "moefm-ot": ("ours: MoE-FM + OT", ours("moefm", "ot"), ()),
    "consistent-ot": ("ours: consistent + OT", ours("consistent", "ot"), ()),
}  # fmt: skip
"""Name -> title, trainer, distributions that must be installed beside the project."""
