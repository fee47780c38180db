"""A continuum of experts beside K heads, on the toys: W2 to held-out points, medians over seeds.

    python benchmarks/continuum.py

Prints the table of docs/guides/few-steps.md. All fields see the same data, loss and steps; K heads have a gate.
"""

from __future__ import annotations

import argparse
import statistics

import torch

from moefm import ConsistentMoEFM, ContinuumField, MixtureField, MLPMixtureField, fit, sample
from moefm.diagnostics import w2
from moefm_toy.datasets import load_dataset

STEPS = (1, 2, 4, 8)
POINTS = 2000
FIELDS = {
    "K = 4 heads": (MLPMixtureField, 4, 4),
    "K = 16 heads": (MLPMixtureField, 16, 16),
    "continuum, 16 points": (ContinuumField, 16, 16),
    "the same, 256 in the sampler": (ContinuumField, 16, 256),
}
"""By name: class, experts of the training, experts of the sampler."""


def scores(field: MixtureField, held_out: torch.Tensor, seed: int) -> list[float]:
    """W2 at every number of steps."""
    noise = torch.randn(held_out.shape, generator=torch.Generator().manual_seed(seed))
    draws = (sample(field, noise, steps, generator=torch.Generator().manual_seed(seed)) for steps in STEPS)
    return [w2(drawn.z1, held_out) for drawn in draws]


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train-steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    print("| data | field | " + " | ".join(f"T = {steps}" for steps in STEPS) + " |\n|---|---|" + "---|" * len(STEPS))
    for name in ("moons", "grid"):
        rows: dict[str, list[list[float]]] = {label: [] for label in FIELDS}
        for seed in range(given.seeds):
            data = load_dataset(name)
            held_out = data.draw_test(POINTS, torch.Generator().manual_seed(seed))
            trained: dict[tuple[type, int], MixtureField] = {}
            for label, (kind, count, asked) in FIELDS.items():
                if (kind, count) not in trained:
                    torch.manual_seed(seed)
                    field = kind(data.dim, count)
                    fit(
                        field,
                        data.draw,
                        steps=given.train_steps,
                        objective=ConsistentMoEFM(),
                        generator=torch.Generator().manual_seed(seed),
                    )
                    trained[kind, count] = field.eval()
                field = trained[kind, count]
                field.num_experts = asked
                rows[label].append(scores(field, held_out, seed))
        for label, runs in rows.items():
            medians = (f"{statistics.median(run):.3f}" for run in zip(*runs, strict=True))
            print(f"| {name} | {label} | {' | '.join(medians)} |", flush=True)


if __name__ == "__main__":
    main()
