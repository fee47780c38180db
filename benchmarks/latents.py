"""The paper's Fig. 3: what MMD, scale and noise do to the latents of stage 1, over seeds.

    python benchmarks/latents.py --data builtin:pydoc --steps 600 --seeds 3 --out runs/latents

Trains the autoencoder once for every setting and seed, all on the same texts, steps and batches. Writes, for each group
of settings, the figure of the first seed (latents-GROUP.png), and latents.md and latents.json with all seeds. Groups:

    paper   cross-entropy alone, + MMD, + scale, + noise, each on top of the one before (Fig. 3 a to d)
    wide    the same with the bandwidths of MMD times sqrt(d), which see points as far apart as latents are
    alone   scale and noise without MMD

What is finished is not trained again: run it again to go on. All groups are 27 runs: hours on a laptop's CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from yanlm.analysis.figures import latent_figure
from yanlm.analysis.geometry import wide_bandwidths
from yanlm.analysis.inspection import inspect_latents
from yanlm.analysis.latents import Inspection
from yanlm.data.corpus import load_corpus
from yanlm.modeling.io import load_model
from yanlm.runs.presets import get_preset
from yanlm.runs.run import train
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.latents import LEVELS, MEASURES
from yanlm.tokenization.tokenizer import load_tokenizer

OFF: dict[str, Any] = {"mmd": 0.0, "scale": 0.0, "noise": 0.0}
Numbers = dict[str, Any]


def groups(preset: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Settings of stage 1 by group and name; weights and noise are the preset's."""
    chosen = get_preset(preset)
    full = {name: getattr(chosen.stage1, name) for name in OFF}
    if not all(full.values()):
        sys.exit(f"preset {preset} switches off one of {', '.join(OFF)}; take another")
    wide = {"bandwidths": wide_bandwidths(chosen.model["d_model"])}

    def on(*names: str) -> dict[str, Any]:
        return OFF | {name: full[name] for name in names}

    return {
        "paper": {
            "CE": on(),
            "CE + MMD": on("mmd"),
            "CE + MMD + scale": on("mmd", "scale"),
            "CE + MMD + scale + noise": on("mmd", "scale", "noise"),
        },
        "wide": {
            "CE": on(),
            "CE + wide MMD": on("mmd") | wide,
            "CE + wide MMD + scale": on("mmd", "scale") | wide,
            "CE + wide MMD + scale + noise": on("mmd", "scale", "noise") | wide,
        },
        "alone": {"CE": on(), "CE + scale": on("scale"), "CE + noise": on("noise")},
    }


def trained(settings: RunSettings, out: Path, device: str) -> dict[str, Any]:
    """Train, go on, or take what is there; return the run's report."""
    file = out / "run.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    wanted = json.loads(json.dumps(settings.to_dict()))
    if known is not None and known["settings"] != wanted:
        changed = [name for name, value in wanted.items() if known["settings"].get(name) != value]
        sys.exit(f"{out} was trained with other settings ({', '.join(changed)}); choose another --out")
    if known is None or "report" not in known:
        known = train(settings, out, resume=known is not None, device=device)
        assert known is not None  # a single process
    return known


def measure(options: argparse.Namespace, name: str, stage1: dict[str, Any], seed: int, rows: list[Any]) -> Inspection:
    """Latents of one setting and seed, with the accuracy of the run's report among the numbers."""
    settings = resolve(
        {
            "preset": options.preset, "data": options.data, "text_column": options.text_column, "stage": "1",
            "steps1": options.steps, "seed": seed, "stage1": stage1, "sample_every": options.steps,
            "save_every": options.steps, "eval_rows": options.rows,
        }
    )  # fmt: skip
    out = options.out / f"{'-'.join(name.lower().replace('+', '').split())}-{seed}"
    print(f"{name}, seed {seed}: {out}", file=sys.stderr)
    report = trained(settings, out, options.device)["report"]
    model, tokenizer = load_model(out / "stage1", options.device), load_tokenizer(out / "stage1")
    found = inspect_latents(model, tokenizer, rows, tokens=options.tokens, noise_levels=LEVELS)
    found.numbers["masked_accuracy"] = report.get("one_pass", {}).get("masked_accuracy")
    return found


def cell(values: list[float | None], form: str) -> str:
    """Mean and range over seeds."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return "–"
    low, high, mean = (format(value, form) for value in (min(known), max(known), sum(known) / len(known)))
    return mean if low == high else f"{mean} ({low} to {high})"


def table(results: dict[str, list[Numbers]]) -> list[str]:
    """A row for each measure, a column for each setting and one for a standard normal."""
    normal = next(iter(results.values()))[0]["normal"]
    lines = ["| | " + " | ".join([*results, "N(0, I)"]) + " |", "|---" * (len(results) + 2) + "|"]
    for title, (read, form) in MEASURES.items():
        cells = [cell([read(numbers) for numbers in runs], form) for runs in results.values()]
        lines.append(f"| {title} | " + " | ".join([*cells, cell([read(normal)], form)]) + " |")
    return lines


def changes(results: dict[str, list[Numbers]], chain: bool) -> list[str]:
    """What each setting changes, compared to the one before (or the first): where the ranges over seeds are apart."""
    names, lines = list(results), []
    for index in range(1, len(names)):
        before, after = names[index - 1 if chain else 0], names[index]
        moved = []
        for title, (read, form) in MEASURES.items():
            old, new = ([v for n in results[name] if (v := read(n)) is not None] for name in (before, after))
            if len(old) < len(results[before]) or len(new) < len(results[after]):
                continue
            if max(old) < min(new) or max(new) < min(old):
                means = [format(sum(values) / len(values), form) for values in (old, new)]
                if means[0] != means[1]:
                    moved.append(f"{title} {means[0]} → {means[1]}")
        lines.append(f"- {before} → {after}: {'; '.join(moved) or 'nothing beyond the spread over seeds'}.")
    return lines


def page(options: argparse.Namespace, results: dict[str, dict[str, list[Numbers]]]) -> str:
    """The tables as markdown."""
    first = next(iter(results.values()))["CE"][0]
    seeds = f"{options.seeds} seeds" if options.seeds > 1 else "one seed, so no spread is known"
    lines = [
        f"`python benchmarks/latents.py {' '.join(sys.argv[1:])}`: preset {options.preset}, "
        f"{' + '.join(options.data)}, {options.steps} steps, {seeds}; mean and range. "
        f"{first['tokens']} latents of held-out text, d = {first['dim']}. "
        f"torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPU cores.",
        "",
        "The last column is what as many standard normal draws give: its MMD² is the precision of that estimate. "
        f"Noise is tried up to {LEVELS[-1]:g}.",
        "",
    ]
    for group, runs in results.items():
        lines += [f"### {group}", "", *table(runs), "", *changes(runs, chain=group != "alone"), ""]
        lines += [f"![Latents, group {group}](latents-{group}.png)", ""]
    return "\n".join(lines)


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["builtin:pydoc"], help="what to read, as for yanlm train")
    parser.add_argument("--text-column")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--groups", nargs="+", choices=["paper", "wide", "alone"], default=["paper", "wide", "alone"])
    parser.add_argument("--rows", type=int, default=300, help="held-out rows")
    parser.add_argument("--tokens", type=int, default=4000, help="latents to look at")
    parser.add_argument("--device", choices=["auto", "cpu"], default="cpu", help="where to train")
    parser.add_argument("--out", type=Path, default=Path("runs/latents"))
    parser.add_argument("--quick", action="store_true", help="30 steps, one seed: only to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.seeds, options.rows, options.tokens = 30, 1, 60, 1000
    corpus = load_corpus(options.data, text_column=options.text_column)
    rows = (corpus.test or corpus.validation)[: options.rows]
    results: dict[str, dict[str, list[Numbers]]] = {}
    for group, settings in groups(options.preset).items():
        if group not in options.groups:
            continue
        shown: dict[str, Inspection] = {}
        results[group] = {}
        for name, stage1 in settings.items():
            found = [measure(options, name, stage1, seed, rows) for seed in range(options.seeds)]
            shown[name] = found[0]
            results[group][name] = [one.numbers for one in found]
        latent_figure(shown).savefig(options.out / f"latents-{group}.png", dpi=120)
    text = page(options, results)
    print(text)
    (options.out / "latents.md").write_text(text, encoding="utf-8")
    document = json.dumps({"options": vars(options), "groups": results}, indent=1, default=str, ensure_ascii=False)
    (options.out / "latents.json").write_text(document + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
