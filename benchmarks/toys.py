"""The numbers of docs/results/toys.md: every data set through `moefm toy`, and ratios to VFM on grid and moons.

    python benchmarks/toys.py --markdown docs/results/toys.md

Runs the command itself, so that a line of the page is what a reader gets. The page keeps its text; what stands between
the two markers is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

BEGIN, END = "<!-- toys:begin -->", "<!-- toys:end -->"
SEEDS = {"moons": 5, "grid": 5}
OTHERS = ("checkerboard", "spirals", "pinwheel", "rings", "digits", "iris")
RATIOS = ("1", "2", "4")


def run(dataset: str, seeds: int, reuse: bool) -> tuple[str, dict[str, Any]]:
    """Run the command, or read what it left in runs/; return the command and its numbers."""
    command = ["moefm", "toy", "--dataset", dataset, "--seeds", str(seeds), "--json"]
    known = Path("runs") / f"toy-{dataset}" / "metrics.json"
    if reuse and known.exists():
        return " ".join(command), json.loads(known.read_text(encoding="utf-8"))
    print("$", *command, file=sys.stderr)
    script = Path(sys.executable).with_name("moefm")
    done = subprocess.run([script, *command[1:], "--resume"], stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return " ".join(command), result


def row(cells: list[str]) -> str:
    """A line of a markdown table."""
    return "| " + " | ".join(cells) + " |"


def distances(command: str, result: dict[str, Any]) -> list[str]:
    """Medians with ranges of one data set, the best of a column in bold."""
    steps = list(result["methods"]["vfm"]["by_steps"])
    floor, spread = result["noise_floor_w2"], result["range"]["noise_floor_w2"]
    lines = [
        f"### {result['dataset']}",
        "",
        f"`{command}`, {result['points']} points; noise floor of W2 {floor:.3f} ({spread[0]:.3f} to {spread[1]:.3f}).",
        "",
        row(["W2 at steps", *steps, "straightness", "off support at 4", "parameters", "train s"]),
        row(["---"] * (len(steps) + 5)),
    ]
    for name, method in result["methods"].items():
        other = result["range"]["methods"][name]
        cells = []
        for t in steps:
            best = min(m["by_steps"][t]["w2"] for m in result["methods"].values())
            low, high = other["by_steps"][t]["w2"]
            value = method["by_steps"][t]["w2"]
            text = f"**{value:.3f}**" if value == best else f"{value:.3f}"
            cells.append(f"{text} ({low:.3f}–{high:.3f})")
        off = method["by_steps"]["4"]["off_support"]
        lines.append(
            row([
                name, *cells, f"{method['straightness']:.3f}", f"{100 * off:.1f}%", f"{method['parameters']:,}",
                f"{method['train_seconds']:.1f}",
            ])
        )  # fmt: skip
    return [*lines, ""]


def ratios(results: dict[str, dict[str, Any]]) -> list[str]:
    """Excess W2 and straightness of both mixtures, as ratios to VFM's."""
    lines = [
        row(["data", "loss", *(f"excess W2 at {t}" for t in RATIOS), "straightness"]),
        row(["---"] * (len(RATIOS) + 3)),
    ]
    for dataset, result in results.items():
        for method, ratio in result["ratio_to_vfm"].items():
            cells = [*(ratio["excess_w2"][t] for t in RATIOS), ratio["straightness"]]
            lines.append(row([dataset, method, *(f"{value:.3f}" for value in cells)]))
    return [*lines, ""]


def main() -> None:
    """Run, print, and put the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--markdown", type=Path, help="page whose part between the markers is replaced")
    parser.add_argument("--dataset", nargs="+", default=[*SEEDS, *OTHERS], help="default: all")
    parser.add_argument("--reuse", action="store_true", help="take the numbers of earlier runs from runs/")
    options = parser.parse_args()
    results = {name: run(name, SEEDS.get(name, 3), options.reuse) for name in options.dataset}
    lines = ratios({name: result for name, (_, result) in results.items() if name in SEEDS})
    for command, result in results.values():
        lines += distances(command, result)
    lines.append(f"torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPU cores.")
    text = "\n".join(lines)
    print(text)
    if options.markdown:
        page = options.markdown.read_text(encoding="utf-8")
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        options.markdown.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
