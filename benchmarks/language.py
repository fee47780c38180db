"""Train language models over seeds and tabulate what they learn: one study a table of docs/results/language.md.

    python benchmarks/language.py text --data stories.jsonl.gz       the default training on a text of one's own
    python benchmarks/language.py rooms                              questions, beside a direct encoder

Variants of the training are compared by `yanlm study ablation`. Results are kept in OUT/results.json run by run: an
interrupted study goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from yanlm.runs.presets import PRESETS
from yanlm.runs.run import train
from yanlm.runs.settings import resolve

Options = dict[str, Any]


def text(args: argparse.Namespace) -> dict[str, Callable[[int, Path], dict[str, Any]]]:
    """The default training on the given data, with either backbone."""
    kinds: dict[str, Options] = {"Transformer": {}, "Mamba": {"model": {"backbone": "mamba"}}}
    return {name: lambda seed, folder, o=o: trained(args, seed, folder / "run", o) for name, o in kinds.items()}


def rooms(args: argparse.Namespace) -> dict[str, Callable[[int, Path], dict[str, Any]]]:
    """Both stages on questions, beside an encoder of the same size that answers directly."""
    layers = PRESETS["tiny"].model["encoder_layers"] + PRESETS["tiny"].model["flow_layers"]
    kinds: dict[str, Options] = {
        "flow, K = 4": {},
        "flow, K = 1": {"model": {"num_experts": 1}},
        "direct encoder": {"stage": "1", "model": {"encoder_layers": layers}},
    }
    return {name: lambda seed, folder, o=o: trained(args, seed, folder / "run", o) for name, o in kinds.items()}


STUDIES = {"text": text, "rooms": rooms}


def base(args: argparse.Namespace, seed: int) -> Options:
    """What all runs of a study share."""
    shared = {"data": args.data, "minutes": args.minutes, "seed": seed, "eval_rows": args.rows, "save_every": 100_000}
    recipe = {"batch_size": args.batch_size}
    return shared | {"model": sizes(args), "recipe1": recipe, "recipe2": recipe}


def sizes(args: argparse.Namespace) -> Options:
    """Options of every model."""
    return {"d_model": args.width, "max_length": args.window}


def trained(args: argparse.Namespace, seed: int, folder: Path, options: Options) -> dict[str, Any]:
    """Train and return the report, with steps and seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    options = options | {"model": sizes(args) | options.get("model", {})}
    record = train(resolve(base(args, seed) | options), folder)
    assert record is not None
    return record["report"] | {"stages": record["stages"]}


def table(results: dict[str, dict[str, Any]], column: str) -> str:
    """Medians and ranges over seeds, in Markdown."""
    times = sorted({int(t) for runs in results.values() for r in runs.values() for t in r.get("by_steps", {})})
    lines = ["| | one pass | " + " | ".join(f"T = {t}" for t in times) + " | experts | steps |"]
    lines.append("|---" * (len(times) + 4) + "|")
    for name, runs in results.items():
        reports = list(runs.values())
        cells = [spread([r["one_pass"][column] for r in reports if "one_pass" in r])]
        cells += [
            spread([r["by_steps"][str(t)][column] for r in reports if str(t) in r.get("by_steps", {})]) for t in times
        ]
        cells.append(spread([r["effective_experts"] for r in reports if "effective_experts" in r], 1))
        cells.append(" + ".join(f"{statistics.median(s):.0f}" for s in steps(reports)))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    first = next(iter(next(iter(results.values())).values()))
    for name, scores in first["baselines"].items():
        if column in scores:
            lines.append(f"\n{name.replace('_', ' ')}: {scores[column]:.3f}")
    return "\n".join(lines)


def steps(reports: list[dict[str, Any]]) -> list[list[int]]:
    """Optimizer steps by stage."""
    return [[r["stages"][s]["steps"] for r in reports if s in r["stages"]] for s in sorted(reports[0]["stages"])]


def spread(values: list[float], digits: int = 3) -> str:
    """Median, and the range where there are several."""
    if not values:
        return ""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    """Run a study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--data", action="append", help="default: builtin:pydoc; builtin:rooms for the study rooms")
    parser.add_argument("--minutes", type=float, default=5.0, help="training time of a whole run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", help="variants, by the beginning of their names")
    parser.add_argument("--rows", type=int, default=300, help="held-out rows")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=PRESETS["tiny"].model["d_model"], help="d of every model")
    parser.add_argument("--window", type=int, default=256, help="longest text in tokens")
    parser.add_argument("--batch-size", type=int, help="default: the preset's, and 32 for rooms")
    parser.add_argument("--column", default="masked_accuracy")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.data = args.data or (["builtin:rooms"] if args.study == "rooms" else ["builtin:pydoc"])
    args.batch_size = args.batch_size or (32 if args.study == "rooms" else PRESETS["tiny"].recipe1.batch_size)
    args.out = args.out or Path("runs") / f"study-{args.study}"
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "results.json"
    results: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.is_file() else {}
    for seed in args.seeds:
        for name, run in STUDIES[args.study](args).items():
            if args.only and not any(name.startswith(start) for start in args.only):
                continue
            if str(seed) in results.get(name, {}):
                continue
            results.setdefault(name, {})[str(seed)] = run(seed, args.out)
            kept.write_text(json.dumps(results, indent=1) + "\n")
            print(table(results, args.column), "\n", flush=True)
    print(table(results, args.column))


if __name__ == "__main__":
    main()
