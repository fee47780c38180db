"""Latents of several models side by side (the paper's Fig. 3): the figure of ``yanlm inspect``, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from moefm.checks import check_count
from yanlm.analysis.figures import latent_figure
from yanlm.analysis.latents import LEAST
from yanlm.data.corpus import load_corpus
from yanlm.evaluation.portions import sample
from yanlm.studies.tools.kept_settings import FINGERPRINTS
from yanlm.studies.tools.latent_table import LEGEND, inspected, inspection_of, latent_table
from yanlm.studies.tools.models import load_named, marks
from yanlm.studies.tools.study import Json, Study


def latents_study(
    study: Study,
    models: Sequence[str],
    data: Sequence[str],
    *,
    rows: int = 300,
    tokens: int = 4000,
    seed: int = 0,
    text_column: str | None = None,
    device: str = "cpu",
) -> Json:
    """Inspect the latents of each model on the same held-out texts: :func:`yanlm.analysis.inspection.inspect_latents`.

    Args:
        study: Its folder.
        models: Folders of models, or LABEL=DIR.
        data: Specs of the data.
        rows: Most held-out rows.
        tokens: Most latents.
        seed: Seed of the draws.
        text_column: Name of the text's column in files.
        device: Where the models run.

    Raises:
        ValueError: A model has no latents, or the data is wrong or too little.
    """
    check_count("rows", rows), check_count("tokens", tokens, LEAST)
    loaded = load_named(models, device)
    if writers := [named for named in loaded if not named.can.latents]:
        raise ValueError(f"model {writers[0].label} is of kind {writers[0].method} and has no latents; leave it out")
    corpus = load_corpus(list(data), text_column=text_column, on_note=study.say)
    held_out = sample(corpus.test or corpus.validation, rows)
    study.begin(
        {
            "data": list(data), "rows": rows, "tokens": tokens, "seed": seed, "text_column": text_column,
            "models": marks(loaded), FINGERPRINTS: {corpus.name: corpus.fingerprint},
        }
    )  # fmt: skip
    inspections = {
        named.label: inspection_of(study.piece(named.label, partial(inspected, named, held_out, tokens, seed)))
        for named in loaded
    }
    summary = {label: inspection.numbers for label, inspection in inspections.items()}
    count = next(iter(summary.values()))["tokens"]
    words = f"{count} latents of held-out texts ({corpus.name}). {LEGEND}"
    table = latent_table({label: [numbers] for label, numbers in summary.items()})
    return study.finish("Latents", words, {"": table}, latent_figure(inspections), summary)
