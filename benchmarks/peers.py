"""Other flow-matching code on the protocol of `moefm toy`, beside ours: torchcfm, flow_matching, k-means labels.

    pip install --no-deps -r benchmarks/requirements-peers.txt
    python benchmarks/peers.py --dataset moons grid --seeds 5 --markdown docs/results/peers.md

Every method has the same data, optimizer steps, batch, parameters, noise and held-out points. A peer brings its own
path, target and coupling; network, optimizer and Euler sampler are ours. Peers are installed for this benchmark only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from peer_methods import METHODS
from rich.console import Console
from rich.table import Table

from moefm import MLPMixtureField
from moefm_toy.datasets import Dataset, load_dataset
from moefm_toy.experiment import MethodRun, SeedRun, parameters
from moefm_toy.folders import prepare_folder
from moefm_toy.measure import draw_clouds, measure
from moefm_toy.report import document
from moefm_toy.settings import Settings

BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"
PACKAGES = ("torch", "torchcfm", "flow_matching", "pot", "scikit-learn", "numpy", "scipy")
REMEDY = "pip install --no-deps -r benchmarks/requirements-peers.txt"
out = Console(highlight=False, soft_wrap=True)


def run_seed(dataset: Dataset, names: Sequence[str], settings: Settings, seed: int) -> SeedRun:
    """Every method on one seed, with the same noise, held-out clouds and floor."""
    clouds = draw_clouds(dataset, settings.points, seed, settings.clouds)
    methods = {}
    for name in names:
        trained, seconds, extra = METHODS[name][1](dataset, settings, seed)
        field = cast(MLPMixtureField, trained)  # what is measured and reported asks for no more than a MixtureField
        numbers, samples, fine = measure(field, settings, seed, clouds)
        metrics: dict[str, Any] = {"parameters": parameters(field), "train_seconds": seconds, **numbers, **extra}
        methods[name] = MethodRun(metrics, field, 0.0, samples, fine)
        distances = "  ".join(f"{steps}: {row['w2']:.3f}" for steps, row in metrics["by_steps"].items())
        out.print(f"{dataset.name}, seed {seed}, {METHODS[name][0]}: W2 at steps {distances}  ({seconds:.1f} s)")
    return SeedRun(seed, clouds.floor, clouds.held_out[0], methods)


def tables(result: dict[str, Any], strong: str, spread: bool) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of two tables; `strong` formats the best of a column, `spread` adds ranges over seeds."""
    methods, ratio = result["methods"], result["ratio_to_vfm"]
    ends = result["range"]["methods"] if spread and "range" in result else None
    steps = list(next(iter(methods.values()))["by_steps"])

    def cell(name: str, *keys: str, digits: int = 3) -> str:
        value, low_high = _at(methods[name], keys), ends and _at(ends[name], keys)
        lowest = min(_at(measured, keys) for measured in methods.values())
        text = f"{value:.{digits}f}"
        text = strong.format(text) if value == lowest and keys != ("train_seconds",) else text
        return f"{text} ({'–'.join(f'{end:.{digits}f}' for end in low_high)})" if low_high else text

    def share(name: str, t: str) -> str:
        value = 1.0 if name == "vfm" else ratio[name]["excess_w2"][t] if ratio else None
        return "-" if value is None else f"{value:.2f}"

    first = [[METHODS[m][0], *(cell(m, "by_steps", t, "w2") for t in steps)] for m in methods]
    second = [
        [METHODS[m][0], *(share(m, t) for t in steps), cell(m, "straightness"), f"{measured['parameters']:,}",
         cell(m, "train_seconds", digits=1)]
        for m, measured in methods.items()
    ]  # fmt: skip
    over = f"median{' and range' if ends else ''} of {len(result['seeds'])} seeds, " if "seeds" in result else ""
    heads = ["method", *(f"T={t}" for t in steps)]
    name, floor = result["dataset"], f"noise floor {result['noise_floor_w2']:.3f}"
    return [
        (f"{name}: W2 after T Euler steps ({over}{floor})", heads, first),
        (f"{name}: excess W2 over VFM's, straightness S, cost", [*heads, "S", "params", "train s"], second),
    ]


def _at(document: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        document = document[key]
    return document


def markdown(report: dict[str, Any]) -> str:
    """The generated part of the page: command, versions, tables."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    parts = [f"```bash\n{REMEDY}\n{report['command']}\n```", f"Versions: {versions}."]
    for result in report["datasets"].values():
        for title, header, rows in tables(result, "**{}**", spread=True):
            lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
            parts.append(f"### {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join([BEGIN, *parts, END])


def embed(page: Path, block: str) -> None:
    """Put the generated part between the page's markers, or make the page."""
    text = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}{END}\n"
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(head + block + tail, encoding="utf-8")


def save(report: dict[str, Any], path: Path) -> None:
    """Write the JSON file whole or not at all."""
    scratch = path.with_name(f".{path.name}.writing")
    scratch.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(scratch, path)


def installed(name: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="peers.py", description=__doc__, formatter_class=layout)
    add = parser.add_argument
    add("--dataset", nargs="+", default=["moons", "grid"], help="names or files, as for `moefm toy` (moons grid)")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    add("--seeds", type=int, help="number of seeds (5; 1 with --quick)")
    add("--clouds", type=int, default=1, help="held-out clouds to average W2 over (1; `moefm toy` has 3)")
    add("--quick", action="store_true", help="300 training steps, 300 points, 1 cloud: does it run?")
    add("--threads", type=int, default=1, help="threads of torch (1: such small networks gain nothing from more)")
    add("--out", type=Path, default=Path("runs/peers/peers.json"), help="where the numbers go (%(default)s)")
    add("--markdown", type=Path, metavar="FILE", help="put the tables between the markers of this page")
    args = parser.parse_args(argv)
    args.seeds = args.seeds if args.seeds is not None else 1 if args.quick else 5
    return args


def fail(message: str) -> NoReturn:
    """One line on standard error, exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def check(args: argparse.Namespace) -> list[Dataset]:
    """Find every mistake before any training; returns the data sets."""
    for option, value in (("--seeds", args.seeds), ("--clouds", args.clouds), ("--threads", args.threads)):
        if value < 1:
            fail(f"{option} must be at least 1, got {value}")
    lacking = sorted({need for name in args.methods for need in METHODS[name][2] if installed(need) is None})
    if lacking:
        rest = " ".join(name for name, (*_, needs) in METHODS.items() if not needs)
        fail(f"not installed: {', '.join(lacking)}. {REMEDY}, or go without: --methods {rest}")
    if args.markdown and args.markdown.exists():
        text = args.markdown.read_text(encoding="utf-8")
        if not 0 <= text.find(BEGIN) < text.find(END):
            fail(f"{args.markdown} must hold the lines {BEGIN} and {END}, between which the tables go")
    if args.out.is_dir():
        fail(f"--out must be a file, got the folder {args.out}")
    try:
        prepare_folder(args.out.parent)
        return [load_dataset(name) for name in args.dataset]
    except (ValueError, TypeError, OSError) as error:
        fail(str(error))


def main(argv: Sequence[str] | None = None) -> None:
    """Run all, print the tables, write the files."""
    args = options(argv)
    datasets = check(args)
    torch.set_num_threads(args.threads)
    given = sys.argv[1:] if argv is None else argv
    report: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/peers.py", *given]),
        "versions": {"python": platform.python_version()} | {name: installed(name) for name in PACKAGES},
        "datasets": {},
    }
    settings = Settings(methods=tuple(args.methods), clouds=args.clouds, lr=2e-3)
    if args.quick:
        settings = replace(settings, train_steps=300, points=300, clouds=1)
    for dataset in datasets:
        runs = [run_seed(dataset, args.methods, settings, seed) for seed in range(args.seeds)]
        report["datasets"][dataset.name] = result = document(dataset.name, settings, runs)
        save(report, args.out)  # after every data set, so that a later failure loses nothing
        for title, header, rows in tables(result, "[bold]{}[/bold]", spread=False):
            table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
            for column in header:
                table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
            for row in rows:
                table.add_row(*row)
            out.print(table)
    if args.markdown:
        embed(args.markdown, markdown(report))
    out.print(f"numbers: {args.out}")


if __name__ == "__main__":
    main()
