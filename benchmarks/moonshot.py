"""One-step sampling near the noise floor, without labels: the table of docs/results/moonshot.md.

    python benchmarks/moonshot.py --dataset moons --dataset grid --seeds 5 --out moonshot.json

The method that works, `expert-ot`, has two phases and one budget of trunk evaluations:

1. *Divide.* The mixture likelihood at t = 0 alone, sigma annealed from 1 to .1: experts settle on pieces of the data.
2. *Straighten.* For independent pairs (z0, z1) draw an expert e from the responsibilities of phase 1, then re-pair
   noise and data by optimal transport *within each expert*. The laws of (z0, e) and (z1, e) stay what they were, so
   frozen routing with pi(e | z0) remains exact, but each expert's coupling is now nearly a map. Regress on those pairs.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Generator, Tensor

from moefm import ConsistentMoEFM, Loss, MLPMixtureField, MoEFM, Objective, ZeroInflatedTime, fit, linear_path, sample
from moefm.couplings import independent, minibatch_ot
from moefm.diagnostics import off_support, w2
from moefm.losses import responsibilities
from toy.datasets import Dataset, load_dataset
from toy.experiment import build_field, draw_clouds, generator, parameters

STEPS = (1, 2, 4, 8, 100)
POINTS = 2000
CLOUDS = 4  # sample clouds a measurement: the floor is the root mean square over four clouds, so W2 is as well
BATCH = 256  # trunk evaluations a training step
SIGMA = 0.1
Sampler = Callable[[int, Generator], Tensor]
"""`(steps, generator)` gives POINTS samples."""


@dataclass
class Annealed(Objective):
    """An objective whose sigma falls geometrically from `start` to `end` over the first 70% of `steps`."""

    base: Callable[[float], Objective]
    steps: int
    evaluations: int = 1
    start: float = 1.0
    end: float = SIGMA
    done: int = dataclass_field(default=0, init=False)

    def __call__(self, field: Any, z0: Tensor, z1: Tensor, **options: Any) -> Loss:
        sigma = self.start * (self.end / self.start) ** min(1.0, self.done / (0.7 * self.steps))
        self.done += 1
        return self.base(sigma)(field, z0, z1, **options)


def likelihood_at_0(sigma: float) -> Objective:
    """The paper's likelihood at t = 0 alone, times sigma^2 so that the velocity's gradient keeps its scale."""
    return MoEFM(sigma, time=ZeroInflatedTime(1.0), velocity_scale=sigma**2, gate_scale=sigma**2)


@dataclass(frozen=True)
class Assigned(Objective):
    """Flow matching of each expert on pairs of its own, and the gate's cross-entropy at t = 0.

    A batch row is z0, z1 and the expert's number side by side, so that `fit` can carry it as data; the noise that `fit`
    draws is not used. One evaluation a pair: the gate of this field reads the state, not the trunk.
    """

    def __call__(self, field: Any, z0: Tensor, z1: Tensor, *, generator: Generator | None = None, **_: Any) -> Loss:
        z0, z1, expert = z1[:, : field.dim], z1[:, field.dim : -1], z1[:, -1].long()
        t = torch.rand(len(z0), generator=generator)
        z_t, target = linear_path(z0, z1, t)
        velocity = 0.5 * (field.expert(z_t, t, expert) - target).square().sum(-1).mean()
        gate = torch.nn.functional.cross_entropy(field.gating(torch.cat([z0, torch.zeros(len(z0), 1)], -1)), expert)
        return Loss(velocity + gate, velocity.detach(), gate.detach())


def ot_within(z0: Tensor, z1: Tensor, expert: Tensor) -> Tensor:
    """The noise re-paired with the data by optimal transport among the pairs of the same expert."""
    z0 = z0.clone()
    for index in (torch.nonzero(expert == k).squeeze(1) for k in expert.unique()):
        z0[index] = minibatch_ot(z0[index], z1[index])[0]
    return z0


class Pool:
    """A `Draw` for `fit` that makes `size` rows at once and draws each of them `reuse` times on average."""

    def __init__(self, make: Callable[[Generator], Tensor], reuse: int) -> None:
        self.make, self.reuse, self.left, self.rows = make, reuse, 0, torch.empty(0)

    def __call__(self, n: int, source: Generator) -> Tensor:
        if self.left < n:
            self.rows = self.make(source)
            self.left = self.reuse * len(self.rows)
        self.left -= n
        return self.rows[torch.randint(len(self.rows), (n,), generator=source)]


@torch.no_grad()
def matched_rows(teacher: MLPMixtureField, dataset: Dataset, size: int, source: Generator) -> Tensor:
    """Fresh pairs, each given to an expert by the teacher's responsibilities at t = 0, then `ot_within` experts."""
    z1 = dataset.draw(size, source)
    z0 = torch.randn(z1.shape, generator=source)
    velocities, logits = teacher(z0, 0.0)
    gamma = responsibilities(velocities, logits, z1 - z0, sigma=SIGMA)
    expert = torch.multinomial(gamma, 1, generator=source).squeeze(1)
    return torch.cat([ot_within(z0, z1, expert), z1, expert[:, None].float()], -1)


@torch.no_grad()
def reflow_rows(teacher: MLPMixtureField, size: int, steps: int, source: Generator) -> Tensor:
    """Noise, where the teacher's frozen expert takes it in many steps, and that expert."""
    z0 = torch.randn(size, teacher.dim, generator=source)
    drawn = sample(teacher, z0, steps, generator=source)
    assert drawn.assignment is not None
    return torch.cat([z0, drawn.z1, drawn.assignment[:, None].float()], -1)


def train_consistent(
    dataset: Dataset, seed: int, experts: int | None, budget: int, *, anneal: bool = False, ot: bool = False
) -> tuple[MLPMixtureField, int]:
    """The consistent loss, two evaluations a pair."""
    field = build_field(dataset.dim, experts or dataset.experts, 128, seed)
    steps = budget // BATCH
    goal = Annealed(ConsistentMoEFM, steps, 2) if anneal else ConsistentMoEFM(0.2)
    coupling = minibatch_ot if ot else independent
    fit(field, dataset.draw, goal, steps=steps, batch_size=BATCH // 2, coupling=coupling, generator=generator(seed, 0))
    return field, steps * BATCH


def train_reflow(dataset: Dataset, seed: int, budget: int) -> tuple[MLPMixtureField, int]:
    """Half of the budget for the consistent loss, a quarter to run its flow in 25 steps, a quarter to learn that."""
    field, used = train_consistent(dataset, seed, None, budget // 2)
    source, size = generator(seed, 2), budget // 4 // 25
    rows = reflow_rows(field, size, 25, source)
    steps = budget // 4 // BATCH
    fit(field, rows, Assigned(), steps=steps, batch_size=BATCH, generator=source)
    return field, used + 25 * size + steps * BATCH


def train_expert_ot(
    dataset: Dataset, seed: int, experts: int, budget: int, hidden: int = 128, size: int = 4096, reuse: int = 4
) -> tuple[MLPMixtureField, int]:
    """A third of the budget to divide the data, the rest to straighten; assigning a pool counts as evaluations too."""
    field = build_field(dataset.dim, experts, hidden, seed)
    source, first = generator(seed, 0), budget // 3 // BATCH
    goal = Annealed(likelihood_at_0, first)
    fit(field, dataset.draw, goal, steps=first, batch_size=BATCH, lr=5e-3, generator=source)
    teacher = copy.deepcopy(field)
    steps = int((budget - first * BATCH) / (BATCH * (1 + 1 / reuse)))
    pool = Pool(lambda g: matched_rows(teacher, dataset, size, g), reuse)
    fit(field, pool, Assigned(), steps=steps, batch_size=BATCH, lr=5e-3, generator=source)
    return field, first * BATCH + steps * BATCH + math.ceil(steps * BATCH / (reuse * size)) * size


def field_sampler(field: MLPMixtureField) -> Sampler:
    """Euler with frozen routing."""

    def draw(steps: int, source: Generator) -> Tensor:
        with torch.no_grad():
            return sample(field, torch.randn(POINTS, field.dim, generator=source), steps, generator=source).z1

    return draw


def gaussian_mixture(dataset: Dataset, seed: int, experts: int) -> tuple[Sampler, int]:
    """The plain baseline: a Gaussian mixture by EM, which is a mixture of affine one-step maps."""
    from sklearn.mixture import GaussianMixture

    points = dataset.draw(20_000, generator(seed, 0)).double().numpy()
    model = GaussianMixture(experts, random_state=seed).fit(points)

    def draw(_: int, source: Generator) -> Tensor:
        model.random_state = int(torch.randint(2**31, (), generator=source))
        return torch.from_numpy(model.sample(POINTS)[0]).float()

    return draw, experts * (1 + dataset.dim + dataset.dim * (dataset.dim + 1) // 2) - 1


BUDGET = 3000 * BATCH
TRAINERS: dict[str, Callable[[Dataset, int], tuple[MLPMixtureField, int]]] = {
    "consistent": lambda d, s: train_consistent(d, s, None, BUDGET),
    "consistent, batch OT": lambda d, s: train_consistent(d, s, None, BUDGET, ot=True),
    "consistent, K=64, annealed": lambda d, s: train_consistent(d, s, 64, BUDGET, anneal=True),
    "consistent, reflow": lambda d, s: train_reflow(d, s, BUDGET),
    "expert-ot, K=32": lambda d, s: train_expert_ot(d, s, 32, BUDGET),
    "expert-ot, K=64": lambda d, s: train_expert_ot(d, s, 64, BUDGET),
    "expert-ot, K=64, x3": lambda d, s: train_expert_ot(d, s, 64, 3 * BUDGET),
}
REFERENCES = ("fresh data", "Gaussian mixture, K=32")
VARIANTS = (*REFERENCES, *TRAINERS)


def run(dataset: Dataset, variant: str, seed: int, clouds: tuple[Tensor, Tensor, Tensor, float]) -> dict[str, Any]:
    """Train one variant and measure it; seconds are of CPU time, which other programs disturb less."""
    data, support, fresh, floor = clouds
    start = time.process_time()
    evaluations, size, draw = 0, 0, lambda _, source: dataset.draw(POINTS, source)
    if variant in TRAINERS:
        field, evaluations = TRAINERS[variant](dataset, seed)
        size, draw = parameters(field), field_sampler(field)
    elif variant != "fresh data":
        draw, size = gaussian_mixture(dataset, seed, 32)
    result = {"floor": floor, "parameters": size, "evaluations": evaluations, "seconds": time.process_time() - start}
    for steps in STEPS if variant in TRAINERS else (1,):
        drawn = [draw(steps, generator(seed, 100 + i)) for i in range(CLOUDS)]
        distance = math.sqrt(statistics.mean(w2(z, data) ** 2 for z in drawn))
        off = statistics.mean(off_support(z, support, fresh) for z in drawn)
        result |= {f"w2_{steps}": distance, f"ratio_{steps}": distance / floor, f"off_{steps}": off}
    return result


def table(dataset: str, rows: dict[str, dict[str, float]], seeds: int) -> Table:
    """Medians over seeds."""
    out = Table(title=f"{dataset}: medians of {seeds} seeds, n = {POINTS}; W2 (ratio to the noise floor)")
    columns = ["variant", *(f"W2 at {t}" for t in STEPS), "off % at 1", "at 4", "parameters", "evaluations", "CPU s"]
    for name in columns:
        out.add_column(name, justify="left" if name == "variant" else "right", no_wrap=True)
    for variant, row in rows.items():
        cells = [f"{row[f'w2_{t}']:.3f} ({row[f'ratio_{t}']:.2f})" if f"w2_{t}" in row else "" for t in STEPS]
        cells += [f"{100 * row[f'off_{t}']:.1f}" if f"off_{t}" in row else "" for t in (1, 4)]
        out.add_row(variant, *cells, f"{row['parameters']:.0f}", f"{row['evaluations']:.0f}", f"{row['seconds']:.1f}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", action="append", help="may be repeated; moons and grid if not given")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="may be repeated; all if not given")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("moonshot.json"), help="what it already holds is not rerun")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=170)
    runs: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.dataset or ["moons", "grid"]:
        dataset = load_dataset(name)
        for seed in range(options.seeds):
            clouds = None
            for variant in options.variant or VARIANTS:
                known = runs.setdefault(name, {}).setdefault(variant, {})
                if str(seed) not in known:
                    clouds = clouds or draw_clouds(dataset, POINTS, seed)
                    known[str(seed)] = run(dataset, variant, seed, clouds)
                    options.out.write_text(json.dumps(runs, indent=1) + "\n")
                    one = known[str(seed)]
                    console.print(f"{name}, {variant}, seed {seed}: one-step W2 {one['ratio_1']:.2f} of the floor")
        medians = {}
        for variant in options.variant or VARIANTS:
            each = [runs[name][variant][str(seed)] for seed in range(options.seeds)]
            medians[variant] = {key: statistics.median(one[key] for one in each) for key in each[0]}
        console.print(table(name, medians, options.seeds))


if __name__ == "__main__":
    main()
