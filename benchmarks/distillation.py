"""The numbers of docs/guides/few-steps.md: students of 1, 2 and 4 steps against their teacher, on the toys.

    python benchmarks/distillation.py --json distillation.json

Teachers are trained as `moefm toy` trains them, at equal parameters, with the seeds of its runs. About eleven minutes
on one core for both data sets, two methods and three seeds. Each (data, method, seed) is kept in the file as soon as it
is done, and is not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from moefm import FlowMap, MixtureField, distill
from moefm_toy.datasets import Dataset, load_dataset
from moefm_toy.experiment import train
from moefm_toy.measure import Clouds, compare, draw_clouds, draw_samples
from moefm_toy.settings import Settings, generator

FEW, MANY = (1, 2, 4), 32


def measure(field: MixtureField, steps: int, settings: Settings, seed: int, clouds: Clouds) -> tuple[float, Any]:
    """W2 of `steps` steps to held-out points, and the samples of the first cloud."""
    on = field.on(steps) if isinstance(field, FlowMap) else field
    shape = clouds.held_out[0].shape
    drawn = [draw_samples(on, settings, seed + 10**6 * i, shape, steps) for i in range(len(clouds.held_out))]
    return compare(drawn, clouds)["w2"], drawn[0]


def run(dataset: Dataset, method: str, seed: int, train_steps: int) -> dict[str, Any]:
    """Train a teacher and its students, and measure them from the same noise and draws of experts."""
    settings = Settings()
    clouds = draw_clouds(dataset, settings.points, seed, settings.clouds)
    teacher, _, seconds, _ = train(dataset, method, settings, seed, None, False, lambda *_: None)
    target, goal = measure(teacher, MANY, settings, seed, clouds)
    numbers: dict[str, Any] = {"floor": clouds.floor, "train_seconds": seconds, "teacher": {str(MANY): target}}

    def add(name: str, field: MixtureField, steps: int) -> None:
        w2, drawn = measure(field, steps, settings, seed, clouds)
        apart = (drawn.z1 - goal.z1).square().sum(-1).mean().sqrt().item()
        numbers.setdefault(name, {})[str(steps)] = w2
        numbers.setdefault(f"{name}, apart", {})[str(steps)] = apart

    for steps in FEW:
        add("teacher", teacher, steps)
        start = time.perf_counter()
        student, _ = distill(
            teacher,
            dataset.draw,
            steps=steps,
            teacher_steps=MANY,
            train_steps=train_steps,
            generator=generator(seed, 6),
        )
        numbers.setdefault("distill_seconds", {})[str(steps)] = time.perf_counter() - start
        add("student", student, steps)
    student, _ = distill(
        teacher, dataset.draw, method="flow_map", teacher_steps=MANY, train_steps=train_steps,
        generator=generator(seed, 6),
    )  # fmt: skip
    for steps in FEW:
        add("flow map", student, steps)
    return numbers


def cell(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def table(results: dict[str, dict[str, Any]], suffix: str, columns: tuple[int, ...]) -> list[str]:
    """One row for each data set, method and sampler."""
    lines = ["| data | field | sampled by | " + " | ".join(map(str, columns)) + " |", "|---" * (3 + len(columns)) + "|"]
    groups = sorted({tuple(key.split("/")[:2]) for key in results}, reverse=True)
    for dataset, method in groups:
        runs = [numbers for key, numbers in results.items() if key.startswith(f"{dataset}/{method}/")]
        for name in ("teacher", "student", "flow map"):
            by_steps = [numbers[f"{name}{suffix}"] for numbers in runs]
            cells = [cell([r[str(n)] for r in by_steps]) if str(n) in by_steps[0] else "" for n in columns]
            lines.append("| " + " | ".join([dataset, method, name, *cells]) + " |")
    return lines


def main() -> None:
    """Run what the file does not hold yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", nargs="+", default=["moons", "grid"])
    parser.add_argument("--method", nargs="+", default=["vfm", "consistent"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-steps", type=int, default=1000, help="of each student")
    parser.add_argument("--json", type=Path, default=Path("distillation.json"), help="where numbers are kept")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    for seed in range(options.seeds):
        for name in options.dataset:
            for method in options.method:
                key = f"{name}/{method}/{seed}"
                if key not in results:
                    results[key] = run(load_dataset(name), method, seed, options.train_steps)
                    options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                    print(key, f"floor {results[key]['floor']:.3f}", results[key]["student"], flush=True)
    print("\nW2 to held-out points, by steps\n", *table(results, "", (*FEW, MANY)), sep="\n")
    print("\nDistance from where the teacher ends in 32 steps\n", *table(results, ", apart", FEW), sep="\n")
    floors = {
        name: cell([r["floor"] for key, r in results.items() if key.startswith(name)]) for name in options.dataset
    }
    seconds = statistics.median(r["train_seconds"] for r in results.values())
    spent = statistics.median(s for r in results.values() for s in r["distill_seconds"].values())
    print(f"\nnoise floor {floors}; teacher {seconds:.0f} s, student {spent:.0f} s, torch {torch.__version__}")


if __name__ == "__main__":
    main()
