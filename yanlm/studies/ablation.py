"""One choice of training changed at a time, over seeds, at equal wall-clock: what each of them is worth."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm.checks import check_positive
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.modeling.build import make_builder
from yanlm.modeling.io import load_model
from yanlm.runs.run import train
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.quality import Held, held_rows
from yanlm.studies.tools.study import Json, Say, Study, integers, markdown, spread
from yanlm.studies.tools.variants import BASE, base_line, laid_over, shares_stage1, variants
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADLINE = 3
"""Steps of the figure, where they are among those evaluated."""

_QUIET = 10**9  # steps between checkpoints and samples: none, for a run that dies is begun anew


def ablation_study(
    out: Path,
    data: Sequence[str],
    task: str = "infill",
    *,
    minutes: float | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    only: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    steps: Sequence[int] = (1, 2, 3, 8),
    metric: str | None = None,
    rows: int = 300,
    text_column: str | None = None,
    device: str = "cpu",
    page: Path | None = None,
    command: str = "",
    say: Say | None = None,
) -> Json:
    """Train every variant with every seed and evaluate it on the task.

    Variants that leave the autoencoder alone begin stage 2 from one stage 1 a seed; the others are whole runs of the
    same ``minutes``. Seeds are the outer loop: after the first, every variant has been seen.

    Args:
        out: Folder of the study.
        data: Specs of the data that is trained and evaluated on.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        minutes: Training time of a whole run; or none, where ``options`` say.
        seeds: Of weights and training.
        only: Beginnings of the variants' names.
        options: Settings that all variants share (:func:`yanlm.runs.settings.resolve`).
        steps: Numbers of steps T of the evaluation.
        metric: What counts as quality; the task's own if not given.
        rows: Held-out rows.
        text_column: Name of the text's column in files.
        device: Where models are trained.
        page: Another place for the page.
        command: As it was typed.
        say: Hears how it goes.

    Raises:
        ValueError: An option, a variant's name or the data is wrong.
    """
    wanted, drawn = integers("steps", steps), integers("seeds", seeds, 0)
    shared = _shared(options or {}, data, minutes, text_column)
    base = resolve(shared)
    entered = variants(base, only)
    held = held_rows(data, task, rows, metric=metric, text_column=text_column)
    settings = {
        "data": list(data), "task": task, "metric": held.metric, "rows": rows, "steps": wanted,
        "options": shared,
    }  # fmt: skip
    study = Study(out, "ablation", settings, command=command, say=say)
    found: dict[str, list[Json]] = {name: [] for name in entered}
    for seed in drawn:
        for name, change in entered.items():
            run = partial(_result, out, shared, base, change, seed, device, held, wanted)
            found[name].append(study.piece(f"{name}, seed {seed}", run))
    summary = _summary(found, held.metric, held.called, wanted)
    length = f"{base.minutes:g} minutes" if base.minutes else f"{base.steps1} + {base.steps2} steps"
    words = (
        f"{held.asked}; {length} a run, {len(drawn)} seed{'s' * (len(drawn) > 1)}: median and range. "
        f"Base: {base_line(base)}."
    )
    return study.finish("Ablation", words, {"": _table(summary)}, ablation_figure(summary), summary, page)


def _shared(options: Mapping[str, Any], data: Sequence[str], minutes: float | None, text_column: str | None) -> Json:
    """What all runs have in common."""
    own: Json = {
        "data": list(data),
        "text_column": text_column,
        "save_every": _QUIET,
        "sample_every": _QUIET,
        "eval_rows": 50,
    }
    if minutes is not None:
        check_positive("minutes", minutes)
        own["minutes"] = minutes
        options = {name: value for name, value in options.items() if name not in ("steps1", "steps2")}
    if "baseline" in options or "stage" in options or "init" in options:
        raise ValueError("an ablation trains both stages of the flow: leave out baseline, stage and init")
    return laid_over(options, own)


def _result(
    out: Path, shared: Json, base: RunSettings, change: Json, seed: int, device: str, held: Held, steps: Sequence[int]
) -> Json:
    """Train one variant, evaluate it, and remove it."""
    folder = out / "run"
    chosen = laid_over(shared | {"seed": seed}, change)
    if shares_stage1(change):
        start = _stage1(out, shared | {"seed": seed}, base, device)
        chosen |= {"stage": "2", "init": str(start)} | _length(base, 2)
    record = _trained(chosen, folder, device)
    model = load_model(folder / "stage2", device)
    builder = make_builder(model, load_tokenizer(folder / "stage2"), Masking())
    report = evaluate_task(model, builder, [], held.test, held.task, steps=steps, data=held.data).report
    shutil.rmtree(folder)
    return {
        "by_steps": report["by_steps"],
        "one_pass": report.get("one_pass"),
        "experts": record["report"]["effective_experts"],
        "steps": {stage: one["steps"] for stage, one in record["stages"].items()},
    }


def _stage1(out: Path, shared: Json, base: RunSettings, device: str) -> Path:
    """Folder of the stage 1 that variants of a seed share."""
    folder = out / f"stage1-seed{shared['seed']}"
    if not (folder / "stage1" / "model.safetensors").is_file():
        _trained(shared | {"stage": "1"} | _length(base, 1), folder, device)
    return folder


def _length(base: RunSettings, stage: int) -> Json:
    """The length of one stage of a run of both."""
    if base.minutes is not None:
        return {"minutes": base.stage_minutes(stage)}
    kept = {"steps1": base.steps1, "steps2": base.steps2}
    return kept | {f"steps{3 - stage}": None}


def _trained(options: Json, folder: Path, device: str) -> Json:
    shutil.rmtree(folder, ignore_errors=True)
    record = train(resolve(options), folder, device=device)
    assert record is not None  # a single process
    return record


def _summary(found: Mapping[str, list[Json]], metric: str, called: str, steps: Sequence[int]) -> Json:
    by_variant = {
        name: {
            "one_pass": [run["one_pass"][metric] for run in runs if run["one_pass"]],
            "by_steps": {str(count): [run["by_steps"][str(count)][metric] for run in runs] for count in steps},
            "experts": [run["experts"] for run in runs],
            "training_steps": [
                statistics.median(run["steps"][stage] for run in runs) for stage in sorted(runs[0]["steps"])
            ],
        }
        for name, runs in found.items()
    }
    return {"metric": metric, "called": called, "headline": _headline(steps), "by_variant": by_variant}


def _headline(steps: Sequence[int]) -> int:
    return HEADLINE if HEADLINE in steps else max(steps)


def _table(summary: Json) -> str:
    found = summary["by_variant"]
    counts = list(found[BASE]["by_steps"])
    head = ["", "one pass", *(f"T = {count}" for count in counts), "experts in use", "training steps"]
    rows = [
        [
            name,
            spread(one["one_pass"]),
            *(spread(one["by_steps"][count]) for count in counts),
            spread(one["experts"], ".1f"),
            " + ".join(f"{count:.0f}" for count in one["training_steps"]),
        ]
        for name, one in found.items()
    ]
    return markdown(head, rows)


def ablation_figure(summary: Json) -> Figure:
    """A row a variant: a dot a seed, a bar at the median, a line at the base's; choices are set apart."""
    from matplotlib.figure import Figure

    from yanlm.studies.tools.plots import PALETTE, REFERENCE

    found = {name: one["by_steps"][str(summary["headline"])] for name, one in summary["by_variant"].items()}
    figure = Figure(figsize=(8.0, 1.3 + 0.34 * len(found)), layout="constrained")
    ax = figure.subplots()
    ax.axvline(statistics.median(found[BASE]), color=REFERENCE, linewidth=1.0, linestyle="--", zorder=0)
    choices = list(dict.fromkeys(name.split(" = ")[0] for name in found))
    for place, (name, values) in enumerate(found.items()):
        number = choices.index(name.split(" = ")[0])
        if number % 2:
            ax.axhspan(place - 0.5, place + 0.5, color="#f2f2f2", linewidth=0, zorder=-1)
        ax.plot(values, [place] * len(values), "o", color=PALETTE[0], markersize=5, alpha=0.6, markeredgewidth=0)
        ax.plot([statistics.median(values)], [place], "|", color=PALETTE[1], markersize=16, markeredgewidth=2.5)
    ax.set_yticks(range(len(found)), list(found), fontsize=9)
    ax.set_ylim(len(found) - 0.5, -0.5)
    ax.set_xlabel(f"{summary['called']}, T = {summary['headline']}: seeds, median; dashed: the base")
    ax.tick_params(axis="x", labelsize=9)
    ax.grid(alpha=0.25, axis="x")
    return figure
