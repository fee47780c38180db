"""The paper's Table 1 for any sets: each task in the metrics that the paper has for it, each method at its best T."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from yanlm.studies.tools.study import Json, markdown
from yanlm.studies.tools.table_page import short, steps_of

SPEED = "tokens_per_second"
METRICS: dict[str, tuple[tuple[str, str], ...]] = {
    "infill": (("rouge1", "R-1"), ("rougeL", "R-L"), (SPEED, "TPS")),
    "completion": (("exact_match", "EM"), ("bert_score", "BS-F1")),
    "qa": (("f1", "F1"), ("bert_score", "BS-F1")),
    "classify": (("accuracy", "Accuracy"),),
}
"""Metrics of each task with their names in the paper's Table 1; other tasks are not in it."""

ONE_BY_ONE = "one_by_one"
"""Key of a result with tokens a second by number of steps, rows generated one by one, as the paper measures them."""

Results = Mapping[str, Mapping[str, Sequence[Json]]]
"""Results of all seeds by ``TASK=SPEC`` and method."""


def paper_scores(results: Results, steps: Sequence[int]) -> Json:
    """Medians over the seeds by set and method, at the number of steps T* that is best in the task's first metric."""
    return {
        name: {method: _at_best(METRICS[task], runs, steps_of(method, steps)) for method, runs in by_method.items()}
        for name, by_method in results.items()
        if (task := name.partition("=")[0]) in METRICS
    }


def _at_best(metrics: Sequence[tuple[str, str]], runs: Sequence[Json], counts: Sequence[str]) -> Json:
    """The medians at T*, and T* of a method that takes steps."""
    best = max(counts, key=lambda count: _median(runs, count, metrics[0][0]) or 0.0)
    scores = {metric: _median(runs, best, metric) for metric, _ in metrics}
    return {"scores": scores, "steps": int(best) if len(counts) > 1 else None}


def _median(runs: Sequence[Json], count: str, metric: str) -> float | None:
    """Over the runs, or None if one of them lacks it."""
    if metric == SPEED:
        values = [run.get(ONE_BY_ONE, {}).get(count) for run in runs]
    else:
        values = [run["by_steps"][count].get(metric) for run in runs]
    known = [value for value in values if value is not None]
    return statistics.median(known) if len(known) == len(values) else None


def paper_table(scores: Json, results: Results) -> str:
    """A row for each set, a column for each method: percent, and tokens a second."""
    methods = list(dict.fromkeys(method for by_method in scores.values() for method in by_method))
    rows = []
    for name, by_method in scores.items():
        task = name.partition("=")[0]
        data = short(next(iter(results[name].values()))[0]["data"])
        cells = [_cell(by_method[method]) if method in by_method else "" for method in methods]
        rows.append([f"{task}, {data}", "/".join(label for _, label in METRICS[task]), *cells])
    return markdown(["", "metric", *methods], rows)


def _cell(best: Json) -> str:
    """``94.9/93.9/20.6k (T = 3)``."""
    text = "/".join(_printed(metric, value) for metric, value in best["scores"].items())
    return text if best["steps"] is None else f"{text} (T = {best['steps']})"


def _printed(metric: str, value: float | None) -> str:
    if value is None:
        return "–"
    if metric == SPEED:
        return f"{value:.0f}" if value < 10_000 else f"{value / 1000:.1f}k"
    return f"{100 * value:.1f}"
