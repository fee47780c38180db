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
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Generator, Tensor

from moefm import ConsistentMoEFM, Loss, MLPMixtureField, MoEFM, Objective, ZeroInflatedTime, fit, linear_path, sample
from moefm.couplings import ot_within
from moefm.diagnostics import off_support, w2
from moefm.losses import responsibilities
from moefm_toy.datasets import Dataset, load_dataset
from moefm_toy.experiment import build_field, parameters
from moefm_toy.measure import Clouds, draw_clouds
from moefm_toy.settings import generator

STEPS = (1, 2, 4, 8, 100)
POINTS = 2000
CLOUDS = {1: 4, 4: 4}  # sample clouds a measurement, else 2: like the floor, W2 is a root mean square over clouds
BATCH = 256  # trunk evaluations a training step
PAIRS = 6  # redrawn held-out clouds a seed, for the paired ratio
SIGMA = 0.1
POOL, REUSE = 4096, 4  # pairs matched at once, and how often each is used on average
Sampler = Callable[[int, Generator], Tensor]  # (steps, generator) -> POINTS samples


@dataclass
class Annealed:
    """An objective whose sigma falls geometrically from 1 to `SIGMA` over the first 70% of `steps`."""

    base: Callable[[float], Objective]
    steps: int
    done: int = 0

    def __call__(self, field: Any, z0: Tensor, z1: Tensor, **options: Any) -> Loss:
        sigma = SIGMA ** min(1.0, self.done / (0.7 * self.steps))
        self.done += 1
        return self.base(sigma)(field, z0, z1, **options)


def likelihood_at_0(sigma: float) -> Objective:
    """The paper's likelihood at t = 0 alone, times sigma^2 so that the velocity's gradient keeps its scale."""
    return MoEFM(sigma, time=ZeroInflatedTime(1.0), velocity_scale=sigma**2, gate_scale=sigma**2)


def gate_at_0(field: Any, z0: Tensor) -> Tensor:
    """Gate logits at t = 0 without the trunk, which this field's gate does not read."""
    return field.gating(torch.cat([z0, torch.zeros(len(z0), 1)], -1))


def assigned(field: Any, _: Tensor, rows: Tensor, *, generator: Generator, **__: Any) -> Loss:
    """Objective: flow matching of each expert on its own pairs, and the gate's cross-entropy at t = 0.

    A row is z0, z1 and the expert's number side by side, so that `fit` can carry it as data; the noise that `fit` draws
    is not used. One evaluation a pair: the gate of this field reads the state, not the trunk.
    """
    z0, z1, expert = rows[:, : field.dim], rows[:, field.dim : -1], rows[:, -1].long()
    t = torch.rand(len(z0), generator=generator)
    z_t, target = linear_path(z0, z1, t)
    velocity = 0.5 * (field.expert(z_t, t, expert) - target).square().sum(-1).mean()
    gate = torch.nn.functional.cross_entropy(gate_at_0(field, z0), expert)
    return Loss(velocity + gate, velocity.detach(), gate.detach())


@torch.no_grad()
def matched_rows(teacher: MLPMixtureField, dataset: Dataset, source: Generator) -> Tensor:
    """POOL fresh pairs, experts drawn from the teacher's responsibilities at t = 0, then `ot_within` each expert."""
    z1 = dataset.draw(POOL, source)
    z0 = torch.randn(z1.shape, generator=source)
    velocities, logits = teacher(z0, 0.0)
    gamma = responsibilities(velocities, logits, z1 - z0, sigma=SIGMA)
    expert = torch.multinomial(gamma, 1, generator=source).squeeze(1)
    return torch.cat([*ot_within(z0, z1, expert), expert[:, None].float()], -1)


@torch.no_grad()
def calibrate(field: MLPMixtureField, shares: Tensor, source: Generator) -> None:
    """Shift the gate's biases until the experts' shares over the noise are those of the assigned data."""
    z0 = torch.randn(50_000, field.dim, generator=source)
    for _ in range(5):
        field.gating.last.bias += (shares.clamp_min(1e-6) / gate_at_0(field, z0).softmax(-1).mean(0)).log()


def train_consistent(dataset: Dataset, seed: int, budget: int, experts: int = 0) -> tuple[MLPMixtureField, int]:
    """The consistent loss, two evaluations a pair; with `experts` given, sigma is annealed."""
    field = build_field(dataset.dim, experts or dataset.experts, 128, seed)
    steps = budget // BATCH
    goal = Annealed(ConsistentMoEFM, steps) if experts else ConsistentMoEFM(0.2)
    fit(field, dataset.draw, goal, steps=steps, batch_size=BATCH // 2, generator=generator(seed, 0))
    return field, steps * BATCH


def train_reflow(dataset: Dataset, seed: int, budget: int) -> tuple[MLPMixtureField, int]:
    """Half of the budget for the consistent loss, a quarter to run its flow in 25 steps, a quarter to learn that."""
    field, used = train_consistent(dataset, seed, budget // 2)
    source, size, steps = generator(seed, 2), budget // 4 // 25, budget // 4 // BATCH
    z0 = torch.randn(size, field.dim, generator=source)
    with torch.no_grad():
        z1, expert, *_ = sample(field, z0, 25, generator=source)
    rows = torch.cat([z0, z1, expert[:, None].float()], -1)
    fit(field, rows, assigned, steps=steps, batch_size=BATCH, generator=source)
    return field, used + 25 * size + steps * BATCH


def train_expert_ot(dataset: Dataset, seed: int, experts: int, budget: int) -> tuple[MLPMixtureField, int]:
    """A third of the budget to divide the data, the rest to straighten; assigning a pool counts as evaluations too."""
    field = build_field(dataset.dim, experts, 128, seed)
    source, first = generator(seed, 0), budget // 3 // BATCH
    fit(field, dataset.draw, Annealed(likelihood_at_0, first), steps=first, batch_size=BATCH, lr=5e-3, generator=source)
    pools = int((budget - first * BATCH) / (POOL * (1 + REUSE)))
    rows = torch.cat([matched_rows(field, dataset, source) for _ in range(pools)])
    steps = REUSE * len(rows) // BATCH
    fit(field, rows, assigned, steps=steps, batch_size=BATCH, lr=5e-3, generator=source)
    calibrate(field, torch.bincount(rows[:, -1].long(), minlength=experts) / len(rows), source)
    return field, (first + steps) * BATCH + len(rows)


def field_sampler(field: MLPMixtureField) -> Sampler:
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
    "consistent": lambda d, s: train_consistent(d, s, BUDGET),
    "consistent, K=64, annealed": lambda d, s: train_consistent(d, s, BUDGET, experts=64),
    "consistent, reflow": lambda d, s: train_reflow(d, s, BUDGET),
    "expert-ot, K=32": lambda d, s: train_expert_ot(d, s, 32, BUDGET),
    "expert-ot, K=64": lambda d, s: train_expert_ot(d, s, 64, BUDGET),
}
VARIANTS = ("fresh data", "Gaussian mixture, K=32", *TRAINERS)


def run(dataset: Dataset, variant: str, seed: int, clouds: Clouds) -> dict[str, Any]:
    """Train one variant and measure it; seconds are of CPU time, which other programs disturb less."""
    (data,), support, fresh, floor = clouds
    start = time.process_time()
    evaluations, size, draw = 0, 0, lambda _, source: dataset.draw(POINTS, source)
    if variant in TRAINERS:
        field, evaluations = TRAINERS[variant](dataset, seed)
        size, draw = parameters(field), field_sampler(field)
    elif variant != "fresh data":
        draw, size = gaussian_mixture(dataset, seed, 32)
    result = {"floor": floor, "parameters": size, "evaluations": evaluations, "seconds": time.process_time() - start}
    for steps in STEPS if variant in TRAINERS else (1,):
        drawn = [draw(steps, generator(seed, 100 + i)) for i in range(CLOUDS.get(steps, 2))]
        distance = math.sqrt(statistics.mean(w2(z, data) ** 2 for z in drawn))
        off = statistics.mean(off_support(z, support, fresh) for z in drawn)
        result |= {f"w2_{steps}": distance, f"ratio_{steps}": distance / floor, f"off_{steps}": off}
    ours, perfect = 0.0, 0.0
    for source in (generator(seed, 500 + i) for i in range(PAIRS)):
        held_out, other = dataset.draw(POINTS, source), dataset.draw(POINTS, source)
        ours += w2(draw(1, source), held_out) ** 2 / PAIRS
        perfect += w2(other, held_out) ** 2 / PAIRS
    return result | {"paired": ours, "paired_floor": perfect}


def table(dataset: str, rows: dict[str, dict[str, float]], seeds: int) -> Table:
    """Medians over seeds."""
    out = Table(title=f"{dataset}: medians of {seeds} seeds, n = {POINTS}; W2 (ratio to its floor)")
    columns = ["variant", *(f"W2 at {t}" for t in STEPS), "paired"]
    columns += ["off % at 1", "at 4", "parameters", "evaluations", "CPU s"]
    for name in columns:
        out.add_column(name, justify="left" if name == "variant" else "right", no_wrap=True)
    for variant, row in rows.items():
        cells = [f"{row[f'w2_{t}']:.3f} ({row[f'ratio_{t}']:.2f})" if f"w2_{t}" in row else "" for t in STEPS]
        cells.append(f"{row['paired']:.2f}")
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
                    console.print(f"{name}, {variant}, seed {seed}: {known[str(seed)]['ratio_1']:.2f} of the floor")
        medians = {}
        for variant in options.variant or VARIANTS:
            by_seed = [runs[name][variant][str(seed)] for seed in range(options.seeds)]
            medians[variant] = {key: statistics.median(run[key] for run in by_seed) for key in by_seed[0]}
            pooled = sum(run["paired"] for run in by_seed) / sum(run["paired_floor"] for run in by_seed)
            medians[variant]["paired"] = math.sqrt(pooled)
        console.print(table(name, medians, options.seeds))


if __name__ == "__main__":
    main()
