"""Where information time helps: training or the grid? Each field of a toy run, sampled on each grid.

    moefm toy --dataset codes --seeds 3
    python benchmarks/information_time.py runs/toy-codes

Prints the table of docs/guides/information-time.md: W2 to held-out data and the share of samples on the support of the
data, medians over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import torch

from moefm import InformationTime, MLPMixtureField, load_field, sample
from moefm.diagnostics import off_support, w2
from moefm_toy.datasets import Dataset, load_dataset

STEPS = (2, 3, 4, 8, 16)
POINTS = 1000
GRIDS = {"uniform": None, "equal shares": 1.0, "last step 1/4": 0.25, "last step 1/10": 0.1}


def scores(field: MLPMixtureField, change: InformationTime, data: Dataset, seed: int) -> dict[str, list[list[float]]]:
    """W2 and share on the support at every step count, on each grid."""
    source = torch.Generator().manual_seed(seed)
    noise = torch.randn(POINTS, data.dim, generator=source)
    held_out, support, fresh = (data.draw_test(n, source) for n in (POINTS, 4 * POINTS, POINTS))
    rows = {}
    for name, last in GRIDS.items():
        row = []
        for steps in STEPS:
            times = None if last is None else change.grid(steps, last=last)
            with torch.no_grad():
                z1 = sample(field, noise, steps, times=times, generator=torch.Generator().manual_seed(seed)).z1
            row.append([w2(z1, held_out), 1 - off_support(z1, support, fresh)])
        rows[name] = row
    return rows


def main() -> None:
    """Read the run, sample, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="folder of a run of moefm toy with vfm and vfm-information")
    folder = parser.parse_args().run
    data = load_dataset(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["dataset"])
    measured: dict[tuple[str, str], list[list[list[float]]]] = {}
    for seed, path in enumerate(sorted((folder / "fields").glob("seed-*"))):
        fields = {name: load_field(path / name) for name in ("vfm", "vfm-information")}
        change = fields["vfm-information"].time_change
        assert change is not None
        for trained, field in fields.items():
            for grid, row in scores(field, change, data, seed).items():
                measured.setdefault((trained, grid), []).append(row)
    print("| trained | grid |", " | ".join(f"{steps} steps" for steps in STEPS), "|")
    print("|---|---|" + "---|" * len(STEPS))
    for (trained, grid), rows in measured.items():
        medians = [[statistics.median(row[i][j] for row in rows) for j in (0, 1)] for i in range(len(STEPS))]
        print(f"| {trained} | {grid} |", " | ".join(f"{a:.2f} / {b:.2f}" for a, b in medians), "|")


if __name__ == "__main__":
    main()
