"""Quality against diversity (the paper's Fig. 5): several samples of every text, by steps, noise and routing."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from moefm.checks import check_choice, check_count, check_positive
from moefm.routing import ROUTINGS
from yanlm.evaluation.sentence_encoder import encoder_folder
from yanlm.figures import printed
from yanlm.studies.tools.models import Named, load_named, marks
from yanlm.studies.tools.quality import scores, task_rows
from yanlm.studies.tools.study import COUNTED_STEPS, Json, Study, integers, markdown, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {"distinct_2": "Dist-2", "self_bleu": "Self-BLEU", "sem_dist": "SemDist"}
"""Measures of diversity; of Self-BLEU less is more diverse."""


def diversity_study(
    study: Study,
    models: Sequence[str],
    data: Sequence[str],
    task: str = "infill",
    *,
    steps: Sequence[int] = (1, 2, 4, 8),
    z0_scales: Sequence[float] = (0.5, 1.0, 1.5),
    routings: Sequence[str] = ("frozen", "argmax", "resampled"),
    temperatures: Sequence[float] = (0.7, 1.0),
    samples: int = 4,
    metric: str | None = None,
    rows: int = 100,
    seeds: Sequence[int] = (0,),
    encoder: str | None = None,
    text_column: str | None = None,
    source_field: str | None = None,
    target_field: str | None = None,
    device: str = "cpu",
) -> Json:
    """Several samples of every held-out row for every setting of generation: how good they are, and how different.

    A flow is varied in steps, scale of the noise z0 and routing, other methods in steps and temperature.

    Args:
        study: Its folder.
        models: Folders of models, or LABEL=DIR.
        data: Specs of the data.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        steps: Numbers of steps T.
        z0_scales: Standard deviations of the noise.
        routings: Names of routings.
        temperatures: Temperatures of models without a flow.
        samples: Samples of every row; at least 2.
        metric: What counts as quality; the task's own if not given.
        rows: Held-out rows.
        seeds: Seeds of all random draws.
        encoder: Folder of a sentence encoder for SemDist, or ``auto``; without it the measure is left out.
        text_column: Name of the text's column in files.
        source_field: Name of the field of the text or context.
        target_field: Name of the field of the answer or label.
        device: Where the models run.

    Raises:
        ValueError: A model, the data, or an option is wrong.
    """
    counts, seeds = integers("steps", steps), integers("seeds", seeds, 0)
    check_count("samples", samples, 2)
    for routing in routings:
        check_choice("routing", routing, ROUTINGS)
    for name, values in (("z0_scale", z0_scales), ("temperature", temperatures)):
        for value in values:
            check_positive(name, value)
    z0_scales, temperatures = (list(dict.fromkeys(given)) for given in (z0_scales, temperatures))
    routings = list(dict.fromkeys(routings))
    loaded = load_named(models, device)
    folder = None if encoder is None else str(encoder_folder(encoder))
    options: dict[str, Any] = {"samples": samples, "encoder": folder}
    fields = {"text_column": text_column, "source_field": source_field, "target_field": target_field}
    held_out = task_rows(data, task, rows, metric=metric, **fields, say=study.say, **options)
    study.begin(held_out.settings | {"models": marks(loaded)})
    points: list[Json] = []
    for named in loaded:
        for options in _settings(named, z0_scales, routings, temperatures):
            runs = [scores(study, named, held_out, counts, seed, **options) for seed in seeds]
            for count in runs[0]:
                point = {"model": named.label, "method": named.method, "steps": count or None, **options}
                measured = {name: [run[count].get(name) for run in runs] for name in (held_out.metric, *MEASURES)}
                points.append(point | {name: values for name, values in measured.items() if None not in values})
    summary: Json = {"metric": held_out.metric, "called": held_out.metric_name, "points": points}
    if encoder is None:
        study.note("SemDist is left out: it needs --encoder, a folder with a sentence encoder")
    study.note(COUNTED_STEPS)
    words = (
        f"{held_out.description}, one sample, and diversity of {samples} samples: Dist-2 over all samples of all "
        f"rows, Self-BLEU and SemDist among those of a row. Known words do not count."
    )
    return study.finish("Quality and diversity", words, {"": _table(summary)}, diversity_figure(summary), summary)


def _settings(
    named: Named, z0_scales: Sequence[float], routings: Sequence[str], temperatures: Sequence[float]
) -> Iterator[dict[str, Any]]:
    if named.can.noise:
        yield from ({"routing": routing, "z0_scale": scale} for routing, scale in product(routings, z0_scales))
    else:
        yield from ({"temperature": temperature} for temperature in temperatures)


def _table(summary: Json) -> str:
    present = [name for name in MEASURES if any(name in point for point in summary["points"])]
    head = ["", "T", "routing", "noise or temperature", summary["called"], *(MEASURES[name] for name in present)]
    rows = []
    for point in summary["points"]:
        scale = point.get("z0_scale", point.get("temperature"))
        cells = [point["model"], str(point["steps"] or ""), point.get("routing", ""), f"{scale:g}"]
        rows.append([*cells, *(spread(point.get(name, [])) for name in (summary["metric"], *present))])
    return markdown(head, rows)


def diversity_figure(summary: Mapping[str, Any]) -> Figure:
    """A panel for each measure, the more diverse to the right; colour: model and steps, shape: routing, size: noise."""
    from yanlm.studies.tools.plots import MARKERS, PALETTE, key, panels

    points = summary["points"]
    present = [name for name in MEASURES if any(name in point for point in points)]
    several = len({point["model"] for point in points}) > 1
    figure, axes = panels(len(present), height=3.9, most=3)

    def group(point: Json) -> str:
        steps = f"T = {point['steps']}" if point["steps"] else ""
        return ", ".join(filter(None, [point["model"] if several or not steps else "", steps]))

    groups = list(dict.fromkeys(group(point) for point in points))
    routings = list(dict.fromkeys(point.get("routing", "temperature") for point in points))
    scales = sorted({point.get("z0_scale", point.get("temperature")) for point in points})
    colours = dict(zip(groups, (PALETTE[i % len(PALETTE)] for i in range(len(groups))), strict=True))
    shapes = dict(zip(routings, (MARKERS[i % len(MARKERS)] for i in range(len(routings))), strict=True))
    sizes = {scale: 4.0 + 5.0 * rank / max(1, len(scales) - 1) for rank, scale in enumerate(scales)}
    for ax, name in zip(axes, present, strict=True):
        for point in (point for point in points if name in point):
            x, y = statistics.median(point[name]), statistics.median(point[summary["metric"]])
            shape = shapes[point.get("routing", "temperature")]
            size = sizes[point.get("z0_scale", point.get("temperature"))]
            ax.plot([x], [y], shape, color=colours[group(point)], markersize=size, alpha=0.8, markeredgewidth=0)
        if name == "self_bleu":
            ax.invert_xaxis()
        ax.set_xlabel(MEASURES[name] + (" (reversed)" if name == "self_bleu" else ""))
        ax.tick_params(labelsize=9)
        ax.grid(alpha=0.25)
    axes[0].set_ylabel(printed(summary["called"]))
    entries = [(label, "o", colour, 6.0) for label, colour in colours.items()]
    entries += [(label, shape, "#555555", 6.0) for label, shape in shapes.items()] if len(shapes) > 1 else []
    entries += [(f"scale {scale:g}", "o", "#bbbbbb", size) for scale, size in sizes.items()] if len(sizes) > 1 else []
    key(figure, entries)
    return figure
