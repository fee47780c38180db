"""What ``yanlm train`` learns on texts or questions, over seeds: the report of whole runs as one table."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm.checks import check_count, check_positive
from yanlm.config import YanConfig
from yanlm.data.corpus import Corpus
from yanlm.evaluation.portions import rows_said
from yanlm.runs.settings import RunSettings, resolve
from yanlm.runs.validation import run_corpus
from yanlm.studies.tools.kept_settings import FINGERPRINTS
from yanlm.studies.tools.quality import SHORT
from yanlm.studies.tools.study import Json, Study, integers, markdown, over_seeds, spread
from yanlm.studies.tools.training import QUIET, train_anew
from yanlm.studies.tools.variants import laid_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIANTS = ("flow", "flow, K = 1", "flow, Mamba", "direct encoder")
"""The flow as it is configured; with one expert; on the other backbone; an encoder of as many blocks that answers in
one pass, trained in one stage. The last is left out if the encoder denoises, since it answers in one pass anyway."""

METRICS = ("masked_accuracy", "exact_match", "rouge1", "rougeL")
STAGE1, ONE_PASS = "one pass, stage 1", "one pass"


def language_study(
    study: Study,
    data: Sequence[str],
    *,
    minutes: float | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    only: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    metric: str | None = None,
    rows: int = 300,
    text_column: str | None = None,
    device: str = "cpu",
) -> Json:
    """Train as ``yanlm train`` does, with every seed, and collect the reports in a table.

    Args:
        study: Its folder.
        data: Specs of the data.
        minutes: Training time of a run; none if ``options`` set it.
        seeds: Seeds of weights and training.
        only: Names among :data:`VARIANTS`; all if there is none.
        options: Settings that all runs share (:func:`yanlm.runs.settings.resolve`).
        metric: Score of the figure, and of the first table: ``masked_accuracy`` unless given.
        rows: Held-out rows of the reports.
        text_column: Name of the text's column in files.
        device: Where models are trained.

    Raises:
        ValueError: An option, a name or the data is wrong.
    """
    for name in only:
        if name not in VARIANTS:
            raise ValueError(f"no variant {name!r}; there are {', '.join(map(repr, VARIANTS))}")
    if metric is not None and metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    seeds, rows = integers("seeds", seeds, 0), check_count("rows", rows)
    shared = laid_over(
        options or {}, {"data": list(data), "text_column": text_column, "eval_rows": rows, **QUIET}
    )  # fmt: skip
    if minutes is not None:
        check_positive("minutes", minutes)
        shared = {name: value for name, value in shared.items() if name not in ("steps1", "steps2")}
        shared["minutes"] = minutes
    if {"baseline", "stage", "init"} & shared.keys():
        raise ValueError("the study trains both stages of the flow: leave out baseline, stage and init")
    base = resolve(shared)
    corpus = run_corpus(base, study.say)
    study.begin({"options": shared, FINGERPRINTS: {corpus.name: corpus.fingerprint}})
    apart = ("direct encoder",) if base.denoises else ()
    if named := [name for name in only if name in apart]:
        raise ValueError(f"with denoiser='encoder' there is no variant {named[0]!r}: leave it out")
    reports: dict[str, list[Json]] = {name: [] for name in VARIANTS if name not in apart and (not only or name in only)}
    for seed in seeds:
        for name, runs in reports.items():
            settings = resolve(laid_over(shared | {"seed": seed}, change_of(name, base)))
            run = partial(_report, study.out / "run", settings, device, corpus)
            runs.append(study.piece(f"{name}, seed {seed}", run))
    metrics = [metric] if metric else _present(reports)
    summary = {name: summary_of(reports, name) for name in metrics}
    steps = " + ".join(str(base.for_stage(stage).steps) for stage in base.stages)
    length = f"{base.minutes:g} minutes" if base.minutes else f"{steps} steps"
    first = next(iter(reports.values()))[0]
    words = (
        f"{rows_said(first['rows'], first.get('texts'))} ({', '.join(data)}), {first['masked_tokens']} masked tokens; "
        f"{length} a run, {over_seeds(seeds)}. *One pass* is the decoder on the encoder's own states."
    )
    tables = {SHORT[name]: _table(scores) for name, scores in summary.items()}
    tables["What was trained"] = _training_table(reports)
    return study.finish("Language model", words, tables, language_figure(summary), summary)


def change_of(name: str, base: RunSettings) -> Json:
    """What a variant changes."""
    if name == "flow, K = 1":
        return {"model": {"num_experts": 1}}
    if name == "flow, Mamba":
        return {"model": {"backbone": "mamba"}}
    if name == "flow":
        return {}
    sizes = (base.model.get(size, getattr(YanConfig, size)) for size in ("encoder_layers", "flow_layers"))
    alone: Json = {"stage": "1", "model": {"encoder_layers": sum(sizes)}}
    return alone | ({} if base.minutes else {"steps2": None})


def _report(folder: Path, settings: RunSettings, device: str, corpus: Corpus) -> Json:
    """Train, and keep the part of the record that goes into the table."""
    record = train_anew(settings, folder, device, corpus)
    shutil.rmtree(folder)
    report = {name: value for name, value in record["report"].items() if name != "examples"}
    return report | {"steps": [stage["steps"] for _, stage in sorted(record["stages"].items())]}


def _present(reports: Mapping[str, Sequence[Json]]) -> list[str]:
    """Metrics that the reports have."""
    scores = next(iter(reports.values()))[0]["one_pass"]
    return [metric for metric in METRICS if metric in scores]


def summary_of(reports: Mapping[str, Sequence[Json]], metric: str) -> dict[str, dict[str, list[float]]]:
    """One score of all seeds by variant and column, and of the baselines without a network."""
    rows = {name: _joined(_columns(report, metric) for report in runs) for name, runs in reports.items()}
    baselines = next(iter(reports.values()))[0]["baselines"]
    guesses = {name.replace("_", " "): scores[metric] for name, scores in baselines.items() if metric in scores}
    return rows | {name: {ONE_PASS: [value]} for name, value in guesses.items()}


def _columns(report: Json, metric: str) -> dict[str, float]:
    before = report.get("stage1", {}).get("one_pass")
    columns = {STAGE1: before, ONE_PASS: report.get("one_pass")}
    columns |= {f"T = {count}": scores for count, scores in report.get("by_steps", {}).items()}
    return {label: scores[metric] for label, scores in columns.items() if scores and metric in scores}


def _joined(runs: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Values of all runs by column."""
    columns: dict[str, list[float]] = {}
    for run in runs:
        for label, value in run.items():
            columns.setdefault(label, []).append(value)
    return columns


def _labels(scores: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    return list(dict.fromkeys(label for columns in scores.values() for label in columns))


def _table(scores: Mapping[str, Mapping[str, list[float]]]) -> str:
    labels = _labels(scores)
    rows = [[name, *(spread(columns.get(label, [])) for label in labels)] for name, columns in scores.items()]
    return markdown(["", *labels], rows)


def _training_table(reports: Mapping[str, Sequence[Json]]) -> str:
    rows = []
    for name, runs in reports.items():
        experts = [run["effective_experts"] for run in runs if "effective_experts" in run]
        steps = [statistics.median(run["steps"][stage] for run in runs) for stage in range(len(runs[0]["steps"]))]
        rows.append([name, spread(experts, ".1f"), " + ".join(f"{count:.0f}" for count in steps)])
    return markdown(["", "experts in use", "training steps"], rows)


def language_figure(summary: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> Figure:
    """The first score: rows are columns of the table, colours are variants; lines are baselines without a network."""
    from matplotlib.figure import Figure

    from yanlm.studies.tools.plots import REFERENCE, style

    metric, scores = next(iter(summary.items()))
    labels = _labels({name: columns for name, columns in scores.items() if name in VARIANTS})
    figure = Figure(figsize=(8.0, 1.4 + 0.4 * len(labels)), layout="constrained")
    ax = figure.subplots()
    for number, (name, columns) in enumerate(scores.items()):
        if name not in VARIANTS:
            ax.axvline(columns[ONE_PASS][0], color=REFERENCE, linewidth=1.0, linestyle="--", label=name, zorder=0)
            continue
        colour, marker = style(number)
        places = [labels.index(label) for label in columns]
        medians = [statistics.median(values) for values in columns.values()]
        ax.plot(medians, places, marker, color=colour, linestyle="", markersize=6, alpha=0.8, label=name)
        for place, values in zip(places, columns.values(), strict=True):
            ax.plot([min(values), max(values)], [place, place], color=colour, linewidth=1.2, alpha=0.6)
    ax.set_yticks(range(len(labels)), labels, fontsize=9)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlabel(f"{SHORT[metric]}: median and range")
    ax.grid(alpha=0.25, axis="x")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
