"""What MMD, scale and noise do to the latents of stage 1 (the paper's Fig. 3, a to d), over seeds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from moefm.checks import check_choice, check_count
from yanlm.analysis.figures import latent_figure
from yanlm.analysis.geometry import wide_bandwidths
from yanlm.analysis.latents import LEAST
from yanlm.config import YanConfig
from yanlm.data.corpus import load_corpus
from yanlm.data.rows import Row
from yanlm.evaluation.portions import sample
from yanlm.runs.baseline import encoder_denoises
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.kept_settings import FINGERPRINTS
from yanlm.studies.tools.latent_table import LEGEND, Numbers, differences, inspected, inspection_of, latent_table
from yanlm.studies.tools.models import load_one
from yanlm.studies.tools.study import Json, Study, integers, over_seeds
from yanlm.studies.tools.training import QUIET, train_anew
from yanlm.studies.tools.variants import laid_over

TERMS = ("mmd", "scale", "noise")
"""Settings of stage 1 that shape its latents."""

GROUPS = ("paper", "wide", "alone")
"""Each term on top of the one before; the same with wide bandwidths of MMD; scale and noise without MMD."""


def autoencoder_study(
    study: Study,
    data: Sequence[str],
    *,
    steps: int = 600,
    seeds: Sequence[int] = (0, 1, 2),
    only: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    rows: int = 300,
    tokens: int = 4000,
    text_column: str | None = None,
    device: str = "cpu",
) -> Json:
    """Train stage 1 with and without each term of its objective, on the same batches, and inspect the latents.

    Args:
        study: Its folder.
        data: Specs of the data.
        steps: Optimizer steps of each training.
        seeds: Seeds of weights and training.
        only: Names among :data:`GROUPS`; all if there is none.
        options: Settings that all trainings share (:func:`yanlm.runs.settings.resolve`); they hold the weights of the
            terms.
        rows: Most held-out rows.
        tokens: Most latents.
        text_column: Name of the text's column in files.
        device: Where models are trained.

    Raises:
        ValueError: An option or the data is wrong, or a term is off in the settings.
    """
    check_count("rows", rows), check_count("tokens", tokens, LEAST)
    [steps], seeds = integers("steps", [steps]), integers("seeds", seeds, 0)
    if encoder_denoises(options or {}):
        raise ValueError("the study trains the autoencoder of a flow behind its encoder: leave out denoiser='encoder'")
    for name in only:
        check_choice("only", name, GROUPS)
    shared = laid_over(
        options or {},
        {"data": list(data), "text_column": text_column, "stage": "1", "steps1": steps, "eval_rows": rows, **QUIET},
    )
    groups = {name: terms for name, terms in variants_by_group(resolve(shared)).items() if not only or name in only}
    corpus = load_corpus(list(data), text_column=text_column, on_note=study.say)
    held_out = sample(corpus.test or corpus.validation, rows)
    study.begin({"tokens": tokens, "options": shared, FINGERPRINTS: {corpus.name: corpus.fingerprint}})
    pieces: dict[str, list[Json]] = {}
    variants = {name: stage1 for variants in groups.values() for name, stage1 in variants.items()}
    for seed in seeds:
        for name, stage1 in variants.items():
            settings = resolve(laid_over(shared, {"seed": seed, "stage1": stage1}))
            run = partial(_trained, study.out / "run", settings, device, held_out, tokens)
            pieces.setdefault(name, []).append(study.piece(f"{name}, seed {seed}", run))
    summary = {name: [piece["numbers"] for piece in runs] for name, runs in pieces.items()}
    tables = {group: latent_table({name: summary[name] for name in names}) for group, names in groups.items()}
    if len(seeds) > 1:
        for line in changes(groups, summary):
            study.note(line)
    words = f"Stage 1 after {steps} steps on {corpus.name}, {over_seeds(seeds)}; latents of held-out texts. {LEGEND}"
    figure = latent_figure({name: inspection_of(runs[0]) for name, runs in pieces.items()})
    return study.finish("Latents of the autoencoder", words, tables, figure, summary)


def variants_by_group(base: RunSettings) -> dict[str, dict[str, Json]]:
    """Changes of stage 1 by group and name; a term that is on has its weight in ``base``.

    Example:
        >>> groups = variants_by_group(resolve({}))
        >>> list(groups["alone"]), groups["alone"]["CE + noise"]
        (['CE', 'CE + scale', 'CE + noise'], {'mmd': 0.0, 'scale': 0.0, 'noise': 0.2})
    """
    full = {term: getattr(base.stage1, term) for term in TERMS}
    for term, weight in full.items():
        if not weight:
            raise ValueError(f"stage1.{term} is off in the settings, and is to be compared on and off; give a weight")
    wide = {"bandwidths": list(wide_bandwidths(base.model.get("d_model", YanConfig.d_model)))}

    def on(*terms: str) -> Json:
        return {term: full[term] if term in terms else 0.0 for term in TERMS}

    chains = [TERMS[:count] for count in range(len(TERMS) + 1)]
    return {
        "paper": {_name(terms): on(*terms) for terms in chains},
        "wide": {_name(terms, "wide "): on(*terms) | (wide if terms else {}) for terms in chains},
        "alone": {_name(terms): on(*terms) for terms in ((), ("scale",), ("noise",))},
    }


def _name(terms: Sequence[str], mmd: str = "") -> str:
    return " + ".join(["CE", *(f"{mmd}MMD" if term == "mmd" else term for term in terms)])


def _trained(folder: Path, settings: RunSettings, device: str, rows: Sequence[Row], tokens: int) -> Json:
    """Train one variant, inspect its latents, and remove it."""
    report = train_anew(settings, folder, device)["report"]
    piece = inspected(load_one(folder, device), rows, tokens, 0)
    piece["numbers"]["masked_accuracy"] = report.get("one_pass", {}).get("masked_accuracy")
    shutil.rmtree(folder)
    return piece


def changes(groups: Mapping[str, Mapping[str, Json]], summary: Mapping[str, Sequence[Numbers]]) -> list[str]:
    """What each variant changes, compared to the one before it in its group, or to cross-entropy alone."""
    lines = []
    for group, names in groups.items():
        steps = [("CE", name) for name in names if name != "CE"] if group == "alone" else pairwise(names)
        for before, after in steps:
            moved = differences(summary[before], summary[after])
            lines.append(f"{before} → {after}: {'; '.join(moved) or 'nothing beyond the spread over seeds'}")
    return lines
