"""Latents of several models side by side (the paper's Fig. 3): the figure of ``yanlm inspect``, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from yanlm.analysis.inspection import inspect_latents
from yanlm.analysis.latents import NOISE_LEVELS, Inspection
from yanlm.data.corpus import load_corpus
from yanlm.studies.tools.models import Named, load_named
from yanlm.studies.tools.study import Json, Say, Study, markdown

LEVELS = (*NOISE_LEVELS, 2.0, 3.0)
"""Standard deviations of the noise under which latents are decoded."""

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
    """Noise under which half of the tokens are decoded right; the largest tried if it takes more."""
    if numbers.get("reconstruction", 0.0) < 0.5:
        return None
    return LEVELS[-1] if numbers["half_noise"] is None else numbers["half_noise"]


def relative_noise(numbers: Numbers) -> float | None:
    """The same in units of the latents' root mean square: a small cloud cannot hide behind an absolute scale."""
    noise = half_noise(numbers)
    return None if noise is None else noise / numbers["mean_square"] ** 0.5


def latents_study(
    out: Path,
    models: Sequence[str],
    data: Sequence[str],
    *,
    rows: int = 300,
    tokens: int = 4000,
    seed: int = 0,
    text_column: str | None = None,
    device: str = "cpu",
    page: Path | None = None,
    command: str = "",
    say: Say | None = None,
) -> Json:
    """Inspect the latents of each model on the same held-out texts: :func:`yanlm.analysis.inspection.inspect_latents`.

    Args:
        out: Folder of the study.
        models: Folders of models, or LABEL=DIR.
        data: Specs of the data.
        rows: Most held-out rows.
        tokens: Most latents.
        seed: Of the draws.
        text_column: Name of the text's column in files.
        device: Where the models run.
        page: Another place for the page.
        command: As it was typed.
        say: Hears how it goes.

    Raises:
        ValueError: A model has no latents, or the data is wrong or too little.
    """
    from yanlm.analysis.figures import latent_figure

    loaded = load_named(models, device)
    if writers := [one for one in loaded if not one.can.latents]:
        raise ValueError(f"model {writers[0].label} is of kind {writers[0].method} and has no latents; leave it out")
    corpus = load_corpus(list(data), text_column=text_column)
    held = (corpus.test or corpus.validation)[:rows]
    settings = {
        "data": list(data), "rows": rows, "tokens": tokens, "seed": seed, "text_column": text_column,
        "models": {one.label: one.mark for one in loaded},
    }  # fmt: skip
    study = Study(out, "latents", settings, command=command, say=say)
    shown: dict[str, Inspection] = {}
    for one in loaded:
        shown[one.label] = _back(study.piece(one.label, partial(_inspected, one, held, tokens, seed)))
    summary = {label: found.numbers for label, found in shown.items()}
    first = next(iter(summary.values()))
    words = (
        f"{first['tokens']} latents of held-out texts ({corpus.name}). The last column is what as many standard normal "
        f"draws give: its MMD² is the precision of that estimate. Noise is tried up to {LEVELS[-1]:g}."
    )
    return study.finish("Latents", words, {"": _table(summary)}, latent_figure(shown), summary, page)


def _inspected(one: Named, rows: Sequence[Mapping[str, Any]], tokens: int, seed: int) -> Json:
    """An inspection as JSON, with what the figure needs."""
    assert one.builder is not None
    found = inspect_latents(one.model, one.builder, rows, tokens=tokens, noise_levels=LEVELS, seed=seed)
    cloud = [[round(x, 3) for x in point] for point in found.coordinates.tolist()]
    return {"numbers": found.numbers, "coordinates": cloud, "ids": found.ids.tolist(), "frequent": found.frequent}


def _back(piece: Json) -> Inspection:
    frequent = [(token, text) for token, text in piece["frequent"]]
    return Inspection(piece["numbers"], torch.tensor(piece["coordinates"]), torch.tensor(piece["ids"]), frequent)


def _table(summary: Mapping[str, Numbers]) -> str:
    columns = [*summary.values(), next(iter(summary.values()))["normal"]]
    rows = []
    for title, (read, form) in MEASURES.items():
        values = [read(numbers) for numbers in columns]
        if any(value is not None for value in values):
            rows.append([title, *("–" if value is None else format(value, form) for value in values)])
    return markdown(["", *summary, "N(0, I)"], rows)
