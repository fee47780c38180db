"""The methods that `benchmarks/tables.py` compares: what people fit to a table, torchcfm, boosted trees, and ours.

A method is fitted to standardized rows and gives back how to sample, in so many steps where it has steps, and how to
score rows, where it has a density.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peer_methods import PeerObjective

from moefm import MLPMixtureField, fit, log_prob, sample
from moefm.sklearn import MoEFlow

Rows = NDArray[np.float64]
HIDDEN, LAYERS, BATCH, TRAIN_STEPS = 64, 3, 128, 600
DENSITY_STEPS = 5
EXPERTS = (1, 2, 3, 4, 8, 16)


@dataclass(frozen=True)
class Fitted:
    """How to draw n rows in so many steps, and to score rows; `about` is kept beside the numbers."""

    draw: Callable[[int, int], Rows]
    score: Callable[[Rows], Rows] | None
    about: dict[str, Any]


Method = Callable[[Rows, int], Fitted]


def mixture(rows: Rows, seed: int) -> Fitted:
    """Gaussian mixture with the full covariances and the number of components of the least BIC."""
    from sklearn.mixture import GaussianMixture

    tried = [GaussianMixture(k, reg_covar=1e-4, n_init=2, random_state=seed).fit(rows) for k in range(1, 11)]
    best = min(tried, key=lambda one: one.bic(rows))
    return Fitted(lambda n, _: best.sample(n)[0], best.score_samples, {"components": best.n_components})


def kernels(rows: Rows, seed: int) -> Fitted:
    """Kernel density with the Gaussian bandwidth of the best likelihood in five-fold cross-validation."""
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neighbors import KernelDensity

    folds = KFold(5, shuffle=True, random_state=seed)
    search = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.05, 1.5, 15)}, cv=folds).fit(rows)
    best = search.best_estimator_
    return Fitted(lambda n, _: best.sample(n, random_state=seed), best.score_samples, search.best_params_)


def torchcfm(matcher: str, steps: int = TRAIN_STEPS) -> Method:
    """One network of at least as many parameters as our eight experts have, on torchcfm's paths and pairs."""

    def run(rows: Rows, seed: int) -> Fitted:
        pairs = getattr(import_module("torchcfm"), matcher)(sigma=0.0).sample_location_and_conditional_flow
        np.random.seed(seed)  # torchcfm draws from the global generators
        torch.manual_seed(seed)
        dim, width = rows.shape[1], HIDDEN
        while size(field := MLPMixtureField(dim, 1, width, LAYERS)) < size(MLPMixtureField(dim, 8, HIDDEN, LAYERS)):
            width += 1
        source = torch.Generator().manual_seed(seed)
        fit(field, tensor(rows), PeerObjective(pairs), steps=steps, batch_size=BATCH, generator=source)

        def draw(n: int, taken: int) -> Rows:
            z0 = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                return sample(field, z0, taken).z1.double().numpy()

        def score(unseen: Rows) -> Rows:
            return log_prob(field, tensor(unseen), steps=DENSITY_STEPS).double().numpy()

        return Fitted(draw, score, {"parameters": size(field)})

    return run


def forest(rows: Rows, seed: int) -> Fitted:
    """ForestFlow: a boosted forest for every time, with a hundredth of the work of its defaults."""
    trees = import_module("ForestDiffusion").ForestDiffusionModel(
        rows, n_t=10, duplicate_K=10, n_estimators=50, max_depth=4, n_jobs=1, seed=seed
    )
    return Fitted(lambda n, _: np.asarray(trees.generate(batch_size=n)), None, {})


def ours(experts: int | str = "auto", steps: int = TRAIN_STEPS) -> Method:
    def run(rows: Rows, seed: int) -> Fitted:
        flow = MoEFlow(
            experts, hidden=HIDDEN, layers=LAYERS, batch_size=BATCH, train_steps=steps, random_state=seed
        ).fit(rows)
        about = {
            "experts": flow.n_experts_,
            "parameters": size(flow.field_),
            "held_out": getattr(flow, "distances_", {}),
        }
        return Fitted(
            lambda n, taken: flow.sample(n, taken, random_state=seed),
            lambda unseen: flow.score_samples(unseen, steps=DENSITY_STEPS),
            about,
        )

    return run


def size(field: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in field.parameters())


def tensor(rows: Rows) -> torch.Tensor:
    return torch.as_tensor(rows, dtype=torch.float32)


OT = "ExactOptimalTransportConditionalFlowMatcher"
STEPS: Sequence[int] = (1, 2, 4)
METHODS: dict[str, tuple[str, Method, Sequence[int]]] = {
    "mixture": ("Gaussian mixture, K by BIC", mixture, ()),
    "kernels": ("kernel density, bandwidth by CV", kernels, ()),
    "forest": ("ForestFlow (10 steps)", forest, ()),
    "cfm": ("torchcfm I-CFM", torchcfm("ConditionalFlowMatcher"), STEPS),
    "otcfm": ("torchcfm OT-CFM", torchcfm(OT), STEPS),
    "moeflow": ("ours: MoEFlow, K auto", ours(), STEPS),
}
FIXED = {f"K={k}": (f"ours: K = {k}", ours(k), STEPS) for k in EXPERTS}
TWICE = {
    "cfm-twice": ("torchcfm I-CFM", torchcfm("ConditionalFlowMatcher", 2 * TRAIN_STEPS), STEPS),
    "otcfm-twice": ("torchcfm OT-CFM", torchcfm(OT, 2 * TRAIN_STEPS), STEPS),
    "K=8-twice": ("ours: K = 8", ours(8, 2 * TRAIN_STEPS), STEPS),
}
"""Name -> title, method, sampling steps (none where the method has none to choose)."""
