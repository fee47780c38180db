"""One choice of training changed at a time, over seeds, at equal wall-clock time: what each choice is worth."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm.checks import check_positive
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.figures import printed
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.models import load_one
from yanlm.studies.tools.quality import TaskRows, check_measured, task_rows
from yanlm.studies.tools.study import Json, Study, integers, markdown, over_seeds, spread
from yanlm.studies.tools.training import QUIET, shared_stage1, train_anew
from yanlm.studies.tools.variants import BASE, base_line, laid_over, shares_stage1, variants

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADLINE = 3
"""Steps of the figure, where they are among those evaluated."""


def ablation_study(
    study: Study,
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
) -> Json:
    """Train every variant with every seed and evaluate it on the task.

    Variants that do not change the autoencoder start stage 2 from one stage 1 for each seed; the others are whole runs
    of the same ``minutes``. Seeds are the outer loop: after the first, every variant has been seen.

    Args:
        study: Its folder.
        data: Specs of the data that is trained and evaluated on.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        minutes: Training time of a whole run; none if ``options`` set it.
        seeds: Seeds of weights and training.
        only: Beginnings of the variants' names.
        options: Settings that all variants share (:func:`yanlm.runs.settings.resolve`).
        steps: Numbers of steps T of the evaluation.
        metric: What counts as quality; the task's own if not given.
        rows: Held-out rows.
        text_column: Name of the text's column in files.
        device: Where models are trained.

    Raises:
        ValueError: An option, a variant's name or the data is wrong.
    """
    counts, seeds = integers("steps", steps), integers("seeds", seeds, 0)
    shared = _shared(options or {}, data, minutes, text_column)
    base = resolve(shared)
    if base.denoises:
        raise ValueError("an ablation changes a flow behind its encoder: leave out denoiser='encoder'")
    changes = variants(base, only)
    held_out = task_rows(data, task, rows, metric=metric, text_column=text_column, say=study.say)
    study.begin(held_out.settings | {"steps": counts, "options": shared})
    results: dict[str, list[Json]] = {name: [] for name in changes}
    for seed in seeds:
        for name, change in changes.items():
            run = partial(_result, study.out, shared | {"seed": seed}, base, change, device, held_out, counts)
            results[name].append(study.piece(f"{name}, seed {seed}", run))
            check_measured(held_out, results[name][-1]["by_steps"][str(counts[0])])
    summary = _summary(results, held_out, counts)
    length = f"{base.minutes:g} minutes" if base.minutes else f"{base.steps1} + {base.steps2} steps"
    words = f"{held_out.description}; {length} a run, {over_seeds(seeds)}. Base: {base_line(base)}."
    return study.finish("Ablation", words, {"": _table(summary)}, ablation_figure(summary), summary)


def _shared(options: Mapping[str, Any], data: Sequence[str], minutes: float | None, text_column: str | None) -> Json:
    """What all runs have in common."""
    own: Json = {"data": list(data), "text_column": text_column, **QUIET, "eval_rows": 50}
    if minutes is not None:
        check_positive("minutes", minutes)
        own["minutes"] = minutes
        options = {name: value for name, value in options.items() if name not in ("steps1", "steps2")}
    if "baseline" in options or "stage" in options or "init" in options:
        raise ValueError("an ablation trains both stages of the flow: leave out baseline, stage and init")
    return laid_over(options, own)


def _result(
    out: Path, shared: Json, base: RunSettings, change: Json, device: str, rows: TaskRows, steps: Sequence[int]
) -> Json:
    """Train one variant, evaluate it, and remove it."""
    folder = out / "run"
    options = laid_over(shared, change)
    if shares_stage1(change):
        start = shared_stage1(out / f"stage1-seed{shared['seed']}", shared | _length(base, 1), device)
        options |= {"stage": "2", "init": str(start)} | _length(base, 2)
    record = train_anew(resolve(options), folder, device)
    trained = load_one(folder, device)
    assert trained.builder is not None
    report = evaluate_task(trained.model, trained.builder, [], rows.test, rows.task, steps=steps, data=rows.data).report
    shutil.rmtree(folder)
    return {
        "by_steps": report["by_steps"],
        "one_pass": report.get("one_pass"),
        "experts": record["report"]["effective_experts"],
        "steps": {number: stage["steps"] for number, stage in record["stages"].items()},
    }


def _length(base: RunSettings, stage: int) -> Json:
    """The length of one stage of a run of both."""
    if base.minutes is not None:
        return {"minutes": base.stage_minutes(stage)}
    return {"steps1": base.steps1, "steps2": base.steps2} | {f"steps{3 - stage}": None}


def _summary(results: Mapping[str, list[Json]], rows: TaskRows, steps: Sequence[int]) -> Json:
    metric = rows.metric
    by_variant = {
        name: {
            "one_pass": [run["one_pass"][metric] for run in runs if metric in (run["one_pass"] or {})],
            "by_steps": {str(count): [run["by_steps"][str(count)][metric] for run in runs] for count in steps},
            "experts": [run["experts"] for run in runs],
            "training_steps": [
                statistics.median(run["steps"][stage] for run in runs) for stage in sorted(runs[0]["steps"])
            ],
        }
        for name, runs in results.items()
    }
    return {"metric": metric, "called": rows.metric_name, "headline": _headline(steps), "by_variant": by_variant}


def _headline(steps: Sequence[int]) -> int:
    return HEADLINE if HEADLINE in steps else max(steps)


def _table(summary: Json) -> str:
    counts = list(summary["by_variant"][BASE]["by_steps"])
    head = ["", "one pass", *(f"T = {count}" for count in counts), "experts in use", "training steps"]
    rows = [
        [
            name,
            spread(variant["one_pass"]),
            *(spread(variant["by_steps"][count]) for count in counts),
            spread(variant["experts"], ".1f"),
            " + ".join(f"{count:.0f}" for count in variant["training_steps"]),
        ]
        for name, variant in summary["by_variant"].items()
    ]
    return markdown(head, rows)


def ablation_figure(summary: Json) -> Figure:
    """A row for each variant, a dot for each seed, a bar at the median, a line at that of the base; choices are
    apart."""
    from matplotlib.figure import Figure

    from yanlm.studies.tools.plots import PALETTE, REFERENCE

    headline = str(summary["headline"])
    scores = {name: variant["by_steps"][headline] for name, variant in summary["by_variant"].items()}
    figure = Figure(figsize=(8.0, 1.3 + 0.34 * len(scores)), layout="constrained")
    ax = figure.subplots()
    ax.axvline(statistics.median(scores[BASE]), color=REFERENCE, linewidth=1.0, linestyle="--", zorder=0)
    choices = list(dict.fromkeys(name.split(" = ")[0] for name in scores))
    for place, (name, values) in enumerate(scores.items()):
        number = choices.index(name.split(" = ")[0])
        if number % 2:
            ax.axhspan(place - 0.5, place + 0.5, color="#f2f2f2", linewidth=0, zorder=-1)
        ax.plot(values, [place] * len(values), "o", color=PALETTE[0], markersize=5, alpha=0.6, markeredgewidth=0)
        ax.plot([statistics.median(values)], [place], "|", color=PALETTE[1], markersize=16, markeredgewidth=2.5)
    ax.set_yticks(range(len(scores)), list(scores), fontsize=9)
    ax.set_ylim(len(scores) - 0.5, -0.5)
    ax.set_xlabel(f"{printed(summary['called'])}, T = {headline}: seeds, median; dashed: the base")
    ax.tick_params(axis="x", labelsize=9)
    ax.grid(alpha=0.25, axis="x")
    return figure
