"""What a hint gives in few steps: `sample(..., hint=h)` on the toys, W2 to held-out points.

    python benchmarks/hint.py --seeds 3

Fields are trained as `moefm toy` trains them, at equal parameters, with the seeds of its runs. Prints the median over
seeds by data set, loss, number of steps and hint.
"""

from __future__ import annotations

import argparse
import statistics

from moefm_toy.datasets import load_dataset
from moefm_toy.experiment import train
from moefm_toy.measure import compare, draw_clouds, draw_for_clouds
from moefm_toy.settings import Settings

HINTS = (0.0, 0.2, 0.3, 0.4, 0.5)
STEPS = (1, 2, 4, 8)
METHODS = ("vfm", "moefm", "consistent")


def measure(name: str, method: str, seed: int) -> dict[tuple[int, float], float]:
    """W2 of a field by steps and hint, from the same noise."""
    dataset, settings = load_dataset(name), Settings()
    clouds = draw_clouds(dataset, settings.points, seed, settings.clouds)
    field = train(dataset, method, settings, seed, None, False, lambda *_: None)[0]
    found = {}
    for steps in STEPS:
        for hint in HINTS:
            drawn = draw_for_clouds(field, settings, seed, clouds, steps, hint)
            found[steps, hint] = compare(drawn, clouds)["w2"]
    return found


def main(names: list[str], seeds: int) -> None:
    """Train, measure, print."""
    print("| data | loss | steps | " + " | ".join(f"h = {hint:g}" for hint in HINTS) + " |")
    print("|---" * (3 + len(HINTS)) + "|")
    for name in names:
        for method in METHODS:
            runs = [measure(name, method, seed) for seed in range(seeds)]
            for steps in STEPS:
                cells = [f"{statistics.median(run[steps, hint] for run in runs):.3f}" for hint in HINTS]
                print(f"| {name} | {method} | {steps} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", nargs="+", default=["moons", "grid"])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    main(asked.dataset, asked.seeds)
