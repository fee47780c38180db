"""Quality against the number of steps T (the paper's Figs. 4, top, 6 and 7), for flows and baselines."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from yanlm.figures import printed
from yanlm.studies.tools.models import Named, load_named, marks
from yanlm.studies.tools.quality import best_baseline, scores, seeds_of, task_rows
from yanlm.studies.tools.study import COUNTED_STEPS, Json, Study, integers, markdown, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONE_PASS, REREAD, DIFFUSION, GUESS = ", one pass", ", reread", ", diffusion", "best guess: "


def steps_study(
    study: Study,
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
    source_field: str | None = None,
    target_field: str | None = None,
    device: str = "cpu",
) -> Json:
    """Evaluate every model on the same held-out rows for every number of steps.

    Methods without steps are horizontal lines: ``gpt2``, ``bart``, ``mlm``, and *one pass*, a flow's own decoder on its
    encoder's states. *reread* is a flow that reads what it wrote (:func:`yanlm.generation.rereading.reread`), and
    *diffusion* is masked diffusion by a flow whose encoder denoises (``sampler="diffusion"``).

    Args:
        study: Its folder.
        models: Folders of models, or LABEL=DIR.
        data: Specs of the data.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        steps: Numbers of steps T.
        metric: What counts as quality; the task's own if not given.
        rows: Held-out rows.
        seeds: Seeds of the noise z0 and the experts drawn; other methods draw nothing.
        length: ``given`` or ``predicted`` numbers of slots.
        text_column: Name of the text's column in files.
        source_field: Name of the field of the text or context.
        target_field: Name of the field of the answer or label.
        device: Where the models run.

    Raises:
        ValueError: A model, the data, or an option is wrong.
    """
    counts, seeds = integers("steps", steps), integers("seeds", seeds, 0)
    loaded = load_named(models, device)
    fields = {"text_column": text_column, "source_field": source_field, "target_field": target_field}
    held_out = task_rows(data, task, rows, metric=metric, **fields, length=length, say=study.say)
    study.begin(held_out.settings | {"models": marks(loaded)})
    metric = held_out.metric
    summary: Json = {"metric": metric, "called": held_out.metric_name, "by_model": {}, "flat": {}}
    ways: list[tuple[Named, str, Json]] = [(named, "", {}) for named in loaded]
    ways += [(named, REREAD, {"reread": True}) for named in loaded if named.can.reread]
    ways += [(named, DIFFUSION, {"sampler": "diffusion"}) for named in loaded if named.can.denoises]
    for named, way, how in ways:
        runs = [scores(study, named, held_out, counts, seed, **how) for seed in seeds_of(named, seeds, **how)]
        label = named.label + way
        values = {count: [run[count][metric] for run in runs] for count in runs[0]}
        if 0 in values:
            summary["flat"][label] = values[0]
        else:
            summary["by_model"][label] = {str(count): at for count, at in values.items()}
        alone = study.pieces.get(named.label + ONE_PASS, {})
        if metric in alone:  # its time was not taken
            summary["flat"][named.label + ONE_PASS] = [alone[metric]]
    if best := best_baseline(study, metric):
        summary["flat"][GUESS + best[0].replace("_", " ")] = [best[1]]
    study.note(COUNTED_STEPS)
    words = (
        f"{held_out.description}, against the number of steps T{'; median and range over seeds' * (len(seeds) > 1)}. "
        f"Lengths are {length}."
    )
    return study.finish("Quality by steps", words, {"": _table(summary)}, steps_figure(summary), summary)


def _table(summary: Json) -> str:
    counts = sorted({int(count) for runs in summary["by_model"].values() for count in runs})
    head = ["", *(f"T = {count}" for count in counts)] if counts else ["", "any T"]
    rows = [[label, *(spread(runs.get(str(c), [])) for c in counts)] for label, runs in summary["by_model"].items()]
    rows += [[label, spread(values), *[""] * (len(head) - 2)] for label, values in summary["flat"].items()]
    return markdown(head, rows)


def steps_figure(summary: Mapping[str, Json]) -> Figure:
    """Quality against T; methods without steps are dashed."""
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
    ax.set_ylabel(printed(str(summary["called"])))
    legend(figure, [ax], columns=3)
    return figure
