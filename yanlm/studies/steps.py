"""Quality against the number of steps T (the paper's Figs. 4, top, 6 and 7), for flows and baselines."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yanlm.studies.tools.models import load_named
from yanlm.studies.tools.quality import best_baseline, held_rows, scores, seeds_of
from yanlm.studies.tools.study import Json, Say, Study, integers, markdown, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONE_PASS, REREAD, GUESS = ", one pass", ", reread", "best guess: "


def steps_study(
    out: Path,
    models: Sequence[str],
    data: Sequence[str],
    task: str,
    steps: Sequence[int],
    *,
    metric: str | None = None,
    rows: int = 300,
    seeds: Sequence[int] = (0,),
    length: str = "given",
    text_column: str | None = None,
    device: str = "cpu",
    page: Path | None = None,
    command: str = "",
    say: Say | None = None,
) -> Json:
    """Evaluate every model on the same held-out rows for every number of steps.

    What takes no steps is a horizontal line: ``gpt2``, ``bart``, ``mlm``, and *one pass*, a flow's own decoder on its
    encoder's states. *reread* is a flow that reads what it wrote (:func:`yanlm.generation.rereading.reread`).

    Args:
        out: Folder of the study.
        models: Folders of models, or LABEL=DIR.
        data: Specs of the data.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        steps: Numbers of steps T.
        metric: What counts as quality; the task's own if not given.
        rows: Held-out rows.
        seeds: Of the noise z0 and the experts drawn; other methods draw nothing.
        length: ``given`` or ``predicted`` numbers of slots.
        text_column: Name of the text's column in files.
        device: Where the models run.
        page: Another place for the page.
        command: As it was typed.
        say: Hears how it goes.

    Raises:
        ValueError: A model, the data, or an option is wrong.
    """
    wanted, drawn = integers("steps", steps), integers("seeds", seeds, 0)
    loaded = load_named(models, device)
    held = held_rows(data, task, rows, metric=metric, text_column=text_column, length=length)
    settings = {
        "data": list(data), "task": task, "metric": held.metric, "rows": rows, "length": length,
        "text_column": text_column, "models": {one.label: one.mark for one in loaded},
    }  # fmt: skip
    study = Study(out, "steps", settings, command=command, say=say)
    summary: Json = {"metric": held.metric, "called": held.called, "by_model": {}, "flat": {}}
    rereads = [one for one in loaded if one.can.reread]
    for one, how in [(one, {}) for one in loaded] + [(one, {"reread": True}) for one in rereads]:
        found = [scores(study, one, held, wanted, seed, **how) for seed in seeds_of(one, drawn)]
        label = one.label + REREAD * bool(how)
        values = {count: [run[count][held.metric] for run in found] for count in found[0]}
        if 0 in values:
            summary["flat"][label] = values[0]
        else:
            summary["by_model"][label] = {str(count): at for count, at in values.items()}
        if alone := study.pieces.get(one.label + ONE_PASS):
            summary["flat"][one.label + ONE_PASS] = [alone[held.metric]]
    if best := best_baseline(study, held.metric):
        summary["flat"][GUESS + best[0].replace("_", " ")] = [best[1]]
    words = (
        f"{held.asked}, against the number of steps T{'; median and range over seeds' if len(drawn) > 1 else ''}. "
        f"Lengths are {length}."
    )
    return study.finish("Quality by steps", words, {"": _table(summary)}, steps_figure(summary), summary, page)


def _table(summary: Json) -> str:
    counts = sorted({int(count) for runs in summary["by_model"].values() for count in runs})
    head = ["", *(f"T = {count}" for count in counts)] if counts else ["", "any T"]
    rows = [[label, *(spread(runs.get(str(c), [])) for c in counts)] for label, runs in summary["by_model"].items()]
    rows += [[label, spread(values), *[""] * (len(head) - 2)] for label, values in summary["flat"].items()]
    return markdown(head, rows)


def steps_figure(summary: Mapping[str, Json]) -> Figure:
    """Quality against T; what has no steps is dashed."""
    from yanlm.studies.tools.plots import REFERENCE, Curve, draw, legend, panels, style

    figure, [ax] = panels(1, height=4.4)
    curves = {}
    for label, runs in summary["by_model"].items():
        at = sorted((int(count), values) for count, values in runs.items())
        middle = [statistics.median(values) for _, values in at]
        ends = [min(values) for _, values in at], [max(values) for _, values in at]
        curves[label] = Curve([count for count, _ in at], middle, *ends)
    for label, values in summary["flat"].items():
        owner = label.removesuffix(ONE_PASS)  # whose colour it has; a guess is grey
        colour = style(list(curves).index(owner))[0] if owner in curves else REFERENCE if GUESS in label else None
        curves[label] = Curve([], [statistics.median(values)], [min(values)], [max(values)], True, colour)
    draw(ax, curves, log="x")
    ax.set_xlabel("steps T")
    ax.set_ylabel(str(summary["called"]))
    legend(figure, [ax], columns=3)
    return figure
