"""The page of the study of agreement: tables, figures, and the numbers as one document."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yanlm.studies.tools.study import Json, markdown, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES = {"valid": "Share that is right", "entropy": "Variety of what is right"}
"""What :meth:`yanlm.data.builtin.puzzle.Puzzle.judge` says, by what the page calls it."""
ALONE = "token by token"
"""Column of a method whose number of passes cannot be chosen."""

Runs = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""Scores of all seeds, by method, key (T, or its number of passes) and score."""


def joined(results: Mapping[str, Sequence[Json]]) -> dict[str, Any]:
    """Scores of all seeds as lists, from one document for each seed.

    Example:
        >>> joined({"flow": [{"1": {"valid": 0.5}}, {"1": {"valid": 0.7}}]})
        {'flow': {'1': {'valid': [0.5, 0.7]}}}
    """
    return {
        name: {key: {score: [run[key][score] for run in runs] for score in runs[0][key]} for key in runs[0]}
        for name, runs in results.items()
    }


def agreement_document(
    task: str, spec: str, bound: float, methods: Runs, training: Mapping[str, Sequence[Json]]
) -> Json:
    """What ``agreement.json`` holds: medians over seeds, ranges, and what was trained."""
    medians, ranges = (
        {
            name: {key: {score: form(values) for score, values in scores.items()} for key, scores in runs.items()}
            for name, runs in methods.items()
        }
        for form in (_median, lambda values: [min(values), max(values)])
    )
    trained = {
        name: {fact: [run[fact] for run in runs] for fact in ("parameters", "steps", "seconds")}
        for name, runs in training.items()
    }
    head = {"task": task, "spec": spec, "bound": bound}
    return {**head, "methods": medians, "ranges": ranges, "training": trained}


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def score_table(methods: Runs, score: str, steps: Sequence[int]) -> str:
    """One score: a row for each method, a column for each number of steps."""
    columns = [str(count) for count in steps]
    last = any(key not in columns for runs in methods.values() for key in runs)
    rows = []
    for name, runs in methods.items():
        cells = [spread(runs[key][score]) if key in runs else "" for key in columns]
        alone = [f"{spread(scores[score])} ({key} passes)" for key, scores in runs.items() if key not in columns]
        rows.append([name, *cells, *(["".join(alone)] if last else [])])
    return markdown(["", *(f"T = {count}" for count in columns), *([ALONE] if last else [])], rows)


def training_table(training: Mapping[str, Sequence[Json]]) -> str:
    """Parameters, steps and time of every training."""
    rows = []
    for name, runs in training.items():
        stages = zip(*(run["steps"] for run in runs), strict=True)
        steps = " + ".join(f"{statistics.median(counts):.0f}" for counts in stages)
        minutes = spread([run["seconds"] / 60 for run in runs], ".1f")
        rows.append([name, f"{runs[0]['parameters']:,}", steps, minutes])
    return markdown(["", "parameters", "training steps", "minutes"], rows)


def agreement_figure(methods: Runs, bound: float) -> Figure:
    """The share that is right against the passes of the network, and the factorized bound as a line."""
    from yanlm.studies.tools.plots import REFERENCE, Curve, draw, legend, panels

    figure, [ax] = panels(1, height=4.6)
    curves = {}
    for name, runs in methods.items():
        points = {_median(scores["nfe"]): scores["valid"] for scores in runs.values()}  # turns end with the slots
        values = [points[nfe] for nfe in sorted(points)]
        ends = [min(part) for part in values], [max(part) for part in values]
        curves[name] = Curve(sorted(points), [_median(part) for part in values], *ends)
    curves["written independently"] = Curve([], [bound], dashed=True, colour=REFERENCE)
    draw(ax, curves, log="x")
    ax.set_xlabel("passes of the network (NFE)")
    ax.set_ylabel("share that is right")
    ax.set_ylim(-0.03, 1.03)
    legend(figure, [ax], columns=3)
    return figure


def training_figure(training: Mapping[str, Sequence[Json]], look: int, order: Sequence[str] = ()) -> Figure:
    """What the models of the first seed learn over time: the share that is right, and each method's own loss.

    Args:
        training: Trainings by method.
        look: Number of steps T at which they were looked at.
        order: Names in the order of the colours of the other figure.
    """
    from yanlm.studies.tools.plots import Curve, draw, legend, panels

    figure, axes = panels(2)
    kinds = {"valid": f"share that is right, T = {look} at most", "loss": "training loss, each method's own"}
    for ax, (kind, label) in zip(axes, kinds.items(), strict=True):
        points = {name: runs[0][kind] for name, runs in training.items() if runs[0][kind]}
        curves = {name: Curve([x for x, _ in curve], [y for _, y in curve]) for name, curve in points.items()}
        draw(ax, curves, log="y" if kind == "loss" else "", styles=list({**dict.fromkeys(order), **training}))
        ax.set_xlabel("minutes of training")
        ax.set_ylabel(label)
    axes[0].set_ylim(-0.03, 1.03)
    legend(figure, axes, columns=3)
    return figure
