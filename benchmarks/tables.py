"""Tables: Gaussian mixture, kernel density, ForestFlow, torchcfm and our `MoEFlow` on six public sets.

    pip install --no-deps -r benchmarks/requirements-peers.txt
    python benchmarks/tables.py --markdown docs/results/tables.md

A third of the rows is held out, columns are standardized by the others. Numbers that a former call has written to
`--out` are not computed again, so that the command can be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import sklearn.datasets
import torch
from peers import BEGIN, END, embed, installed, save
from scipy.spatial.distance import cdist
from table_methods import EXPERTS, FIXED, METHODS, STEPS, TWICE, Rows

from moefm.slices import sliced_w2

POINTS, ENERGY_POINTS, SCORED = 4000, 2000, 64
ALL = {**METHODS, **FIXED, **TWICE}
PACKAGES = ("torch", "scikit-learn", "torchcfm", "pot", "ForestDiffusion", "xgboost-cpu")
BY_EXPERTS = "## How many experts\n\nMean W2 over T = 1, 2 and 4."
BY_TRAINING = "## Twice the training\n\nW2 after 1200 steps, divided by W2 after 600."
Results = dict[str, dict[str, dict[str, Any]]]


def moons() -> Rows:
    """600 points of two moons, 30 of them replaced by uniform outliers."""
    points, random = sklearn.datasets.make_moons(600, noise=0.08, random_state=0)[0], np.random.RandomState(0)
    points[:30] = random.uniform([-2, -1.5], [3, 2], (30, 2))
    return points


def digits() -> Rows:
    from sklearn.decomposition import PCA

    return PCA(10, random_state=0).fit_transform(sklearn.datasets.load_digits().data)


SETS: dict[str, Callable[[], Rows]] = {
    "iris": lambda: sklearn.datasets.load_iris().data,
    "wine": lambda: sklearn.datasets.load_wine().data,
    "breast cancer": lambda: sklearn.datasets.load_breast_cancer().data,
    "diabetes": lambda: sklearn.datasets.load_diabetes(scaled=False).data,
    "digits, 10 of PCA": digits,
    "moons, 5% outliers": moons,
}


def split(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Two thirds to train on, the rest held out, both in units of the former."""
    order, third = np.random.RandomState(seed).permutation(len(rows)), len(rows) // 3
    train, held_out = rows[order[third:]], rows[order[:third]]
    mean, std = train.mean(0), train.std(0)
    return (train - mean) / std, (held_out - mean) / std


def w2(x: Rows, y: Rows) -> float:
    """Sliced W2, with the same directions for all methods."""
    return sliced_w2(torch.as_tensor(x), torch.as_tensor(y), 300, torch.Generator().manual_seed(0))


def energy(x: Rows, y: Rows) -> float:
    r"""Energy distance :math:`2 E|x - y| - E|x - x'| - E|y - y'|`; pairs of a point with itself do not count."""

    def within(points: Rows) -> float:
        return float(cdist(points, points).sum() / (len(points) * (len(points) - 1)))

    return float(2 * cdist(x, y).mean()) - within(x) - within(y)


def measure(name: str, train: Rows, held_out: Rows, seed: int) -> dict[str, Any]:
    """Fit a method, draw, compare."""
    _, method, steps = ALL[name]
    began = time.process_time()
    fitted = method(train, seed)
    numbers: dict[str, Any] = {"fit": time.process_time() - began, **fitted.about, "w2": {}, "energy": {}}
    for taken in steps or (0,):
        began = time.process_time()
        drawn = fitted.draw(POINTS, taken)
        numbers["sample"] = time.process_time() - began
        numbers["w2"][str(taken)] = w2(drawn, held_out)
        numbers["energy"][str(taken)] = energy(drawn[:: POINTS // ENERGY_POINTS], held_out)
    if fitted.score is not None and name in METHODS:
        numbers["log_likelihood"] = float(np.mean(fitted.score(held_out[:SCORED])))
    return numbers


def run(results: Results, out: Path, sets: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Measure what is missing, seed by seed, and write after each."""
    for seed in seeds:
        for name in sets:
            train, held_out = split(np.asarray(SETS[name](), dtype=np.float64), seed)
            for method in methods:
                known = results.setdefault(name, {}).setdefault(method, {})
                if str(seed) not in known:
                    auto = results[name].get("moeflow", {}).get(str(seed), {})
                    same = method == f"K={auto.get('experts')}"  # the very field that auto ended with
                    known[str(seed)] = numbers = auto if same else measure(method, train, held_out, seed)
                    save({"results": results}, out)
                    print(name, seed, method, json.dumps(numbers["w2"]), f"{numbers['fit']:.1f} s", flush=True)
            seen = results.setdefault(name, {}).setdefault("floor", {})
            floor = {"w2": {"0": w2(train, held_out)}, "energy": {"0": energy(train, held_out)}}
            seen[str(seed)] = floor
            save({"results": results}, out)


def middle(runs: dict[str, dict[str, Any]], *keys: str) -> float | None:
    """Median over seeds, or nothing."""
    values = [run_ for run_ in runs.values()]
    for key in keys:
        values = [value[key] for value in values if key in value]
    return median(values) if values else None


def line(runs: dict[str, dict[str, Any]], steps: Sequence[int]) -> list[float | None]:
    """W2 at each number of steps; the same where there are none to choose."""
    return [middle(runs, "w2", str(taken)) or middle(runs, "w2", "0") for taken in steps]


def ranks(result: dict[str, dict[str, Any]]) -> list[int]:
    """Place of ours by W2 at each number of steps."""
    lines = {name: line(result[name], STEPS) for name in METHODS if result.get(name)}
    return [
        sorted(row[place] for row in lines.values()).index(lines["moeflow"][place]) + 1 for place in range(len(STEPS))
    ]


def compared(results: Results) -> str:
    """One table for each set."""
    parts = []
    for name, result in results.items():
        last, seeds = str(STEPS[-1]), len(result.get("moeflow", {}))
        if not seeds:
            continue
        head = ["method", *(f"W2, T={t}" for t in STEPS), "energy", "log likelihood", "fit s", "sample s"]
        rows = []
        for method, title in {**{m: ALL[m][0] for m in METHODS}, "floor": "rows trained on"}.items():
            if not (runs := result.get(method)):
                continue
            far = middle(runs, "energy", last) or middle(runs, "energy", "0")
            numbers = [
                *line(runs, STEPS),
                far,
                middle(runs, "log_likelihood"),
                middle(runs, "fit"),
                middle(runs, "sample"),
            ]
            cells = [shown(x, d) for x, d in zip(numbers, (3, 3, 3, 4, 2, 1, 2), strict=True)]
            rows.append([title if len(runs) == seeds else f"{title} (seeds: {len(runs)})", *cells])
        places = ", ".join(f"{place} at T={t}" for place, t in zip(ranks(result), STEPS, strict=True))
        parts.append(f"### {name}\n\nSeeds: {seeds}. Place of ours by W2: {places}.\n\n{grid(head, rows)}")
    return "\n\n".join(parts)


def experts(results: Results) -> str:
    """W2 of each K, mean over steps, beside auto."""
    rows = []
    for name, result in results.items():
        seeds = set.intersection(*(set(result.get(f"K={k}", {})) for k in EXPERTS)) & set(result.get("moeflow", {}))
        if not seeds:
            continue
        picked = {m: {s: result[m][s] for s in seeds} for m in ("moeflow", *(f"K={k}" for k in EXPERTS))}
        means = {
            m: float(np.mean([[r["w2"][str(t)] for t in STEPS] for r in runs.values()])) for m, runs in picked.items()
        }
        best = min(value for m, value in means.items() if m != "moeflow")
        took = ", ".join(str(r["experts"]) for _, r in sorted(picked["moeflow"].items()))
        fixed = [shown(means[f"K={k}"], 3) for k in EXPERTS]
        rows.append(
            [name, str(len(seeds)), took, *fixed, shown(means["moeflow"], 3), shown(means["moeflow"] / best, 3)]
        )
    return grid(["set", "seeds", "`auto` took", *map(str, EXPERTS), "`auto`", "`auto` / best"], rows)


def twice(results: Results) -> str:
    """W2 after twice the training, over that after the training."""
    rows = []
    for name, result in results.items():
        for method in TWICE:
            once, more = result.get(method.removesuffix("-twice"), {}), result.get(method, {})
            pairs = [(more[seed]["w2"], once[seed]["w2"]) for seed in more if seed in once]
            if pairs:
                ratios = [float(np.mean([a[str(t)] / b[str(t)] for a, b in pairs])) for t in STEPS]
                rows.append([name, ALL[method][0], str(len(pairs)), *(shown(ratio, 2) for ratio in ratios)])
    return grid(["set", "method", "seeds", *(f"T={t}" for t in STEPS)], rows)


def shown(number: float | None, digits: int) -> str:
    return "" if number is None else f"{number:.{digits}f}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    names = f"{', '.join(ALL)}; none to show what is there"
    add("--methods", nargs="*", choices=ALL, default=list(ALL), metavar="NAME", help=names)
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds of split and training (0 to 4)")
    add("--out", type=Path, default=Path("runs/tables/tables.json"), help="where the numbers go (%(default)s)")
    add("--markdown", type=Path, metavar="FILE", help="put the tables between the markers of this page")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    results: Results = json.loads(args.out.read_text())["results"] if args.out.exists() else {}
    run(results, args.out, args.sets, args.methods, args.seeds)
    if args.markdown:
        versions = ", ".join(f"{name} {installed(name)}" for name in PACKAGES)
        parts = (f"Versions: {versions}.", compared(results), f"{BY_EXPERTS}\n\n{experts(results)}",
                 f"{BY_TRAINING}\n\n{twice(results)}")  # fmt: skip
        embed(args.markdown, "\n\n".join([BEGIN, *parts, END]))


if __name__ == "__main__":
    main()
