"""Latents as a study keeps and tabulates them: an inspection as JSON and back, and what a table says of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from yanlm.analysis.inspection import inspect_latents
from yanlm.analysis.latents import NOISE_LEVELS, Inspection
from yanlm.studies.tools.models import Named
from yanlm.studies.tools.study import Json, markdown, spread

LEVELS = (*NOISE_LEVELS, 2.0, 3.0)
"""Standard deviations of the noise under which latents are decoded."""

LEGEND = (
    "The last column is what as many standard normal draws give: its MMD² is the precision of that estimate. "
    f"Noise is tried up to {LEVELS[-1]:g}."
)
"""Explanations for the reader of a table."""

Numbers = Mapping[str, Any]
MEASURES: dict[str, tuple[Callable[[Numbers], float | None], str]] = {
    "variance in two components": (lambda n: n["first_two"], ".1%"),
    "participation ratio / d": (lambda n: n["participation"], ".3f"),
    "cosine of two latents": (lambda n: n["cosine"], ".3f"),
    "common offset": (lambda n: n["offset"], ".1%"),
    "mean square": (lambda n: n["mean_square"], ".3f"),
    "MMD², paper's bandwidths": (lambda n: n["mmd2"], ".2g"),
    "MMD², bandwidths × √d": (lambda n: n["mmd2_wide"], ".2g"),
    "variance between tokens": (lambda n: n["token_variance"], ".1%"),
    "reconstruction": (lambda n: n.get("reconstruction"), ".2%"),
    "noise that halves it": (lambda n: half_noise(n), ".2f"),
    "the same / size of latents": (lambda n: relative_noise(n), ".2f"),
    "masked tokens, one pass": (lambda n: n.get("masked_accuracy"), ".1%"),
}
"""Rows of a table of latents: how each is read off the numbers of an inspection, and its format."""


def half_noise(numbers: Numbers) -> float | None:
    """Noise under which half of the tokens are decoded right; the largest tried if none is enough."""
    if numbers.get("reconstruction", 0.0) < 0.5:
        return None
    return LEVELS[-1] if numbers["half_noise"] is None else numbers["half_noise"]


def relative_noise(numbers: Numbers) -> float | None:
    """The same in units of the latents' root mean square: a small cloud cannot hide behind an absolute scale."""
    noise = half_noise(numbers)
    return None if noise is None else noise / numbers["mean_square"] ** 0.5


def inspected(named: Named, rows: Sequence[Mapping[str, Any]], tokens: int, seed: int) -> Json:
    """An inspection as JSON, with what the figure needs."""
    assert named.builder is not None
    inspection = inspect_latents(named.model, named.builder, rows, tokens=tokens, noise_levels=LEVELS, seed=seed)
    cloud = [[round(x, 3) for x in point] for point in inspection.coordinates.tolist()]
    return {
        "numbers": inspection.numbers,
        "coordinates": cloud,
        "ids": inspection.ids.tolist(),
        "frequent": inspection.frequent,
    }


def inspection_of(piece: Json) -> Inspection:
    """What :func:`inspected` kept."""
    frequent = [(token, text) for token, text in piece["frequent"]]
    return Inspection(piece["numbers"], torch.tensor(piece["coordinates"]), torch.tensor(piece["ids"]), frequent)


def latent_table(columns: Mapping[str, Sequence[Numbers]]) -> str:
    """A row for each measure; a column for each name, over its inspections, and for as many standard normal draws."""
    shown = {**columns, "N(0, I)": [next(iter(columns.values()))[0]["normal"]]}
    rows = []
    for title, (read, form) in MEASURES.items():
        values = [_known(read, runs) for runs in shown.values()]
        if any(values):
            rows.append([title, *(spread(known, form) or "–" for known in values)])
    return markdown(["", *shown], rows)


def differences(before: Sequence[Numbers], after: Sequence[Numbers]) -> list[str]:
    """Measures whose ranges over the inspections do not overlap, with both medians."""
    lines = []
    for title, (read, form) in MEASURES.items():
        old, new = _known(read, before), _known(read, after)
        if old and new and (max(old) < min(new) or max(new) < min(old)):
            medians = [format(statistics.median(values), form) for values in (old, new)]
            if medians[0] != medians[1]:
                lines.append(f"{title} {medians[0]} → {medians[1]}")
    return lines


def _known(read: Callable[[Numbers], float | None], inspections: Sequence[Numbers]) -> list[float]:
    """A measure of all inspections, or nothing if one of them lacks it."""
    values = [read(numbers) for numbers in inspections]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []
