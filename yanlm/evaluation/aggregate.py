"""From the sums of items to what a report says: means over seeds, intervals over items, diversity of samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from yanlm.evaluation.items import Item
from yanlm.evaluation.scoring import Sums, label_key
from yanlm.tasks import metrics
from yanlm.tasks.task import Task, get_task

FAILED = 0.05
"""Error above which a bAbI task counts as failed."""

Runs = Sequence[Sequence[Sums]]
"""Sums by run (a seed and a sample), then by item."""


def summary(task: str | Task, runs: Runs, texts: Sequence[Any] | None = None) -> dict[str, Any]:
    """Means over items and runs, and for the main metrics ``NAME_ci95``, by bootstrap over the items.

    Items of the same of ``texts`` are drawn together (:func:`interval`).

    Example:
        >>> scores = summary("classify", [[{"accuracy": (1.0, 1.0)}, {"accuracy": (0.0, 1.0)}]] * 2)
        >>> scores["accuracy"], scores["accuracy_ci95"]
        (0.5, [0.0, 1.0])
    """
    main = get_task(task).main
    totals = [_total(item_runs) for item_runs in zip(*runs, strict=True)]
    names = dict.fromkeys(name for sums in totals for name in sums)
    scores: dict[str, Any] = {}
    for name in names:
        pairs = [sums[name] for sums in totals]
        if not (count := math.fsum(n for _, n in pairs)):
            continue  # no span of three tokens, say
        scores[name] = math.fsum(x for x, _ in pairs) / count
        if name in main and (ends := interval(pairs, texts)):
            scores[f"{name}_ci95"] = ends
    return scores


def interval(pairs: Sequence[tuple[float, float]], texts: Sequence[Any] | None = None) -> list[float]:
    r"""95% bootstrap interval of :math:`R = \sum x_i / \sum n_i` over items; empty if all items are of one text.

    Where counts differ, the ratio is linearised: item i is resampled as :math:`R + (x_i - R n_i) / \bar n`. A text that
    comes several times, with other masks each time, is one item.

    Example:
        >>> interval([(0, 1), (1, 1)] * 9, ["a", "b"] * 9), interval([(0, 1), (1, 1)], ["a", "a"])
        ([0.0, 1.0], [])
    """
    if texts is not None:
        sums: dict[Any, tuple[float, float]] = {}
        for text, (x, n) in zip(texts, pairs, strict=True):
            before = sums.get(text, (0.0, 0.0))
            sums[text] = before[0] + x, before[1] + n
        if len(sums) == 1 < len(pairs):
            return []
        pairs = list(sums.values())
    count = math.fsum(n for _, n in pairs)
    ratio, mean = math.fsum(x for x, _ in pairs) / count, count / len(pairs)
    low, high = metrics.bootstrap([ratio + (x - ratio * n) / mean for x, n in pairs])
    return [max(0.0, low), min(1.0, high)]


def by_seed(task: str | Task, runs: Runs, samples: int) -> dict[str, list[float]]:
    """``NAME_by_seed`` of the main metrics, if there are several seeds; runs are ordered by seed."""
    main = get_task(task).main
    seeds = [summary(task, runs[i : i + samples]) for i in range(0, len(runs), samples)]
    if len(seeds) < 2:
        return {}
    return {f"{name}_by_seed": [scores[name] for scores in seeds] for name in main if name in seeds[0]}


def _total(runs: Sequence[Sums]) -> Sums:
    """Sums of one item over its runs."""
    return {
        name: (math.fsum(run[name][0] for run in runs), math.fsum(run[name][1] for run in runs)) for name in runs[0]
    }


def macro_f1(predicted: Sequence[str], truth: Sequence[str]) -> float:
    """Mean over the true labels of their F1; a text that is no label is a miss.

    Example:
        >>> macro_f1(["a", "a", "?"], ["a", "b", "b"])  # F1 of a is 2/3, of b 0
        0.333...
    """
    given, labels = [label_key(text) for text in predicted], [label_key(text) for text in truth]
    total = 0.0
    for label in set(labels):
        hits = sum(a == b == label for a, b in zip(given, labels, strict=True))
        total += 2 * hits / (given.count(label) + labels.count(label))
    return total / len(set(labels))


def by_task(task: str | Task, items: Sequence[Item], runs: Runs) -> dict[str, Any]:
    """Errors by the rows' ``task`` (bAbI), their mean, and how many tasks fail; nothing if rows have none."""
    places: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        if "task" in item.row:
            places.setdefault(str(item.row["task"]), []).append(i)
    if not places:
        return {}
    exact = get_task(task).exact
    scores = {name: summary(task, [[run[i] for i in at] for run in runs]) for name, at in places.items()}
    errors = {name: 1 - scores[name][exact] for name in sorted(scores, key=_natural)}
    failed = sum(error > FAILED for error in errors.values())
    return {"by_task": errors, "mean_error": sum(errors.values()) / len(errors), "failed_tasks": failed}


def _natural(name: str) -> tuple[float, str]:
    """``qa2`` before ``qa10``."""
    digits = "".join(char for char in name if char.isdecimal())  # not ², which float refuses
    return (float(digits) if digits else math.inf, name)


def diversity(groups: Sequence[Sequence[str]], encoder: Any = None) -> dict[str, float]:
    """How much the samples of a source differ.

    ``distinct_2`` over all samples of all sources, ``self_bleu`` and ``sem_dist`` within a source, and ``unique``, the
    share of different texts among the samples of a source.
    """
    texts = [text for group in groups for text in group]
    scores = {
        "distinct_2": metrics.distinct(texts, 2),
        "self_bleu": sum(metrics.self_bleu(group) for group in groups) / len(groups),
        "unique": sum(len(set(group)) / len(group) for group in groups) / len(groups),
    }
    if encoder is not None:
        from yanlm.evaluation.semantic import sem_dist

        scores["sem_dist"] = sem_dist(groups, encoder)
    return scores


def best_of(task: str | Task, runs: Runs) -> float:
    """Share of the items of which any sample is right."""
    exact = get_task(task).exact
    return sum(max(sums[exact][0] for sums in item_runs) for item_runs in zip(*runs, strict=True)) / len(runs[0])


def mean_of(dicts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of every entry, over seeds."""
    return {name: sum(scores[name] for scores in dicts) / len(dicts) for name in dicts[0]}


Number = int | float


def over_seeds(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median of every number in ``by_steps`` and ``one_pass`` over the reports, with ``NAME_range`` beside it.

    What does not depend on the seed (task, data, baselines that need no training) is taken from the first.

    Example:
        >>> low = {"task": "qa", "by_steps": {"1": {"f1": 0.5}}}
        >>> high = {"task": "qa", "by_steps": {"1": {"f1": 0.7}}}
        >>> over_seeds([low, high, high])["by_steps"]["1"]
        {'f1': 0.7, 'f1_range': [0.5, 0.7]}
    """
    first = reports[0]
    medians = {name: value for name, value in first.items() if name not in ("by_steps", "one_pass")}
    medians["runs"] = len(reports)
    steps = [step for step in first["by_steps"] if all(step in report["by_steps"] for report in reports)]
    medians["by_steps"] = {step: spread([report["by_steps"][step] for report in reports]) for step in steps}
    if all("one_pass" in report for report in reports):
        medians["one_pass"] = spread([report["one_pass"] for report in reports])
    return medians


def spread(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median and range of every number that all of several scores have, and medians of the ends of intervals.

    Example:
        >>> spread([{"em": 1.0, "em_ci95": [0.9, 1.0]}])
        {'em': 1.0, 'em_range': [1.0, 1.0], 'em_ci95': [0.9, 1.0]}
    """
    medians: dict[str, Any] = {}
    for name, value in scores[0].items():
        if not all(name in run for run in scores):
            continue
        if name.endswith("_ci95"):
            medians[name] = [statistics.median(run[name][end] for run in scores) for end in (0, 1)]
        elif isinstance(value, Number) and not isinstance(value, bool):
            values = [float(run[name]) for run in scores]
            medians[name] = statistics.median(values)
            medians[f"{name}_range"] = [min(values), max(values)]
    return medians
