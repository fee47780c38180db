"""The page of the table: a row for each task and set, scores and sizes of each method, and a figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yanlm.figures import printed
from yanlm.studies.tools.study import Json, markdown, spread
from yanlm.tasks.task import get_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOWS = ("flow", "vfm")
ONE_PASS, REREAD, ONE_PASS_REREAD = "one pass", "reread", "one pass, reread"


def short(spec: str) -> str:
    """A set by the folder that holds its three files, or by its file."""
    path = Path(spec)
    return path.parent.name if path.name.startswith("train.") and path.parent.name else path.name


def summary_of(task: str, runs: Mapping[str, list[Json]], steps: Sequence[int]) -> Json:
    """For each column the task's main score over seeds; guesses by name."""
    first = next(iter(runs.values()))[0]
    metric = get_task(task).main[0]
    columns: dict[str, list[float]] = {}
    for method, results in runs.items():
        for count, label in _columns(method, steps):
            columns[label] = [result["by_steps"][count][metric] for result in results]
        if method in FLOWS and all("one_pass" in result for result in results):
            columns[f"{method}, {ONE_PASS}"] = [result["one_pass"][metric] for result in results]
        for how in (REREAD, ONE_PASS_REREAD):
            if not all(how in result for result in results):
                continue
            for count, label in _columns(method, [count for count in steps if count > 1]):
                columns[label.replace(",", f", {how},")] = [result[how][count][metric] for result in results]
    guesses = {name: scores[metric] for name, scores in first["baselines"].items() if metric in scores}
    return {"data": short(first["data"]), "n": first["n"], "metric": metric, "columns": columns, "guesses": guesses}


def steps_of(method: str, steps: Sequence[int]) -> list[str]:
    """Numbers of steps at which results of a method differ."""
    return [str(count) for count in steps] if method in (*FLOWS, "mdlm") else ["1"]


def _columns(method: str, steps: Sequence[int]) -> list[tuple[str, str]]:
    """Steps shown for a method, and the headings: a flow's fewest, 3 and most, masked diffusion's most."""
    if method in FLOWS:
        shown = sorted({steps[0], min(steps, key=lambda count: abs(count - 3)), steps[-1]})
        return [(str(count), f"{method}, T = {count}") for count in shown]
    if method == "mdlm":
        return [(str(steps[-1]), f"mdlm, T = {steps[-1]}")]
    return [("1", method)]  # in one pass, or token by token


def score_table(summary: Json) -> str:
    labels = _labels(summary)
    rows = []
    for name, scores in summary.items():
        guesses = scores["guesses"]
        best = max(guesses, key=guesses.__getitem__, default=None)
        guess = "" if best is None else f"{guesses[best]:.3f} {best.replace('_', ' ')}"
        cells = [spread(scores["columns"].get(label, [])) for label in labels]
        rows.append([_title(name, scores), scores["metric"].replace("_", " "), str(scores["n"]), *cells, guess])
    return markdown(["", "score", "rows", *labels, "guess"], rows)


def _labels(summary: Mapping[str, Json]) -> list[str]:
    """Columns that any row has, in order."""
    return list(dict.fromkeys(label for scores in summary.values() for label in scores["columns"]))


def _title(name: str, scores: Json) -> str:
    """The name of a row: task and set."""
    return f"{name.split('=')[0]}, {scores['data']}"


def size_table(results: Mapping[str, Mapping[str, list[Json]]]) -> str:
    """Medians over sets and seeds: parameters, optimizer steps of the fine-tuning, tokens seen in it."""
    methods = list(dict.fromkeys(method for by_method in results.values() for method in by_method))
    rows = []
    for method in methods:
        runs = [run for by_method in results.values() for run in by_method.get(method, [])]
        size, steps, tokens = (statistics.median(run[key] for run in runs) for key in ("parameters", "steps", "tokens"))
        rows.append([method, f"{size / 1e6:.2g}M", f"{steps:.0f}", f"{tokens / 1e3:.0f}k"])
    return markdown(["", "parameters", "steps of fine-tuning", "tokens seen in them"], rows)


def table_figure(summary: Json) -> Figure:
    """A row for each set, a mark for each column: colours for methods, shapes for steps; a line at the best guess."""
    from matplotlib.figure import Figure

    from yanlm.studies.tools.plots import MARKERS, PALETTE, REFERENCE

    labels = _labels(summary)
    figure = Figure(figsize=(8.5, 1.6 + 0.5 * len(summary)), layout="constrained")
    ax = figure.subplots()
    methods = [label.split(",")[0] for label in labels]
    colours = dict(zip(dict.fromkeys(methods), PALETTE, strict=False))
    for number, label in enumerate(labels):
        colour, marker = colours[methods[number]], MARKERS[methods[:number].count(methods[number]) % len(MARKERS)]
        shift = 0.3 * (number / max(1, len(labels) - 1) - 0.5)
        columns = [scores["columns"].get(label) for scores in summary.values()]
        points = [(statistics.median(values), place + shift) for place, values in enumerate(columns) if values]
        ax.plot(*zip(*points, strict=True), marker, color=colour, markersize=6, alpha=0.8, linestyle="", label=label)
    for place, scores in enumerate(summary.values()):
        if scores["guesses"]:
            best = max(scores["guesses"].values())
            ax.plot([best, best], [place - 0.35, place + 0.35], color=REFERENCE, linewidth=1.2)
    names = [printed(_title(name, scores)) for name, scores in summary.items()]
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("score, median over seeds; grey line: the best guess without a network")
    ax.grid(alpha=0.25, axis="x")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
