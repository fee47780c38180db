"""What another kind of model changes in a run: one stage, and the masking it is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from moefm.checks import check_choice
from yanlm.kinds import BASELINES
from yanlm.runs.presets import PRESETS, Preset, Recipe

PUBLISHED_LR = 5e-5
"""Default learning rate of a published model: that of a fresh model would undo what it has learned."""


def baseline_recipe(name: str, preset: Preset) -> Recipe:
    """How a baseline is trained: as stage 1 of the preset, on masks like those it is asked to fill.

    ``gpt2`` and ``bart`` take stage 2's. ``mdlm`` draws itself which of the masked words stay masked; it gets from a
    few words to whole texts. ``mlm`` learns from the masks of stage 1, without rows that have none.

    Example:
        >>> from yanlm.runs.presets import get_preset
        >>> baseline_recipe("mlm", get_preset("tiny")).masking.clean
        0.0
    """
    masking = preset.recipe2.masking
    if name == "mlm":
        masking = dataclasses.replace(preset.recipe1.masking, clean=0.0)
    elif name == "mdlm":
        masking = dataclasses.replace(masking, rate=(0.05, 1.0))
    return dataclasses.replace(preset.recipe1, masking=masking)


def for_baseline(preset: Preset, options: Mapping[str, Any]) -> tuple[Preset, dict[str, Any]]:
    """Preset and options of a run, as the baseline in the options wants them.

    Raises:
        ValueError: There is no such baseline, or an option does not go with it.
    """
    name = check_choice("baseline", options["baseline"], (*BASELINES, "vfm"))
    if name == "vfm":
        model = dict(options.get("model") or {})
        if model.setdefault("num_experts", 1) != 1:
            raise ValueError(f"baseline vfm is a flow with one expert, got num_experts={model['num_experts']}")
        return preset, {**options, "model": model, "baseline": None}
    for table in ("stage1", "stage2", "denoising"):
        given = ", ".join(n for n in options.get(table) or () if (name, table, n) != ("gpt2", "stage1", "known"))
        if given:
            raise ValueError(f"{table} is an objective of the flow, and baseline {name} has its own: leave out {given}")
    recipe = baseline_recipe(name, preset)
    if options.get("init_from") is not None:
        recipe = dataclasses.replace(recipe, lr=PUBLISHED_LR)
    return _in_one_stage(preset, recipe), dict(options)


def encoder_denoises(options: Mapping[str, Any]) -> bool:
    """Whether the options of a run, or its preset, ask for a flow whose denoiser is the encoder.

    Example:
        >>> encoder_denoises({"preset": "tiny", "model": {"denoiser": "encoder"}}), encoder_denoises({})
        (True, False)
    """
    given, name = options.get("model"), options.get("preset", "tiny")
    model = dict(PRESETS[name].model) if isinstance(name, str) and name in PRESETS else {}  # a wrong one fails later
    model |= given if isinstance(given, Mapping) else {}
    return options.get("baseline") in (None, "vfm") and model.get("denoiser") == "encoder"


def for_denoiser(preset: Preset, options: Mapping[str, Any]) -> tuple[Preset, dict[str, Any]]:
    """Preset and options of a run whose encoder is the flow's denoiser: one stage, and a mask in every row.

    Raises:
        ValueError: An option is of two stages.
    """
    for table in ("stage1", "stage2", "recipe2"):
        if given := ", ".join(options.get(table) or ()):
            raise ValueError(f"{table} is of a flow behind its encoder; with denoiser='encoder' leave out {given}")
    masking = dataclasses.replace(preset.recipe1.masking, clean=0.0)
    return _in_one_stage(preset, dataclasses.replace(preset.recipe1, masking=masking)), dict(options)


def _in_one_stage(preset: Preset, recipe: Recipe) -> Preset:
    """The preset as a run of one stage with this recipe, as long as its two."""
    length = preset.length
    if "steps1" in length:
        length = {"steps1": length["steps1"] + length["steps2"]}
    return dataclasses.replace(preset, recipe1=recipe, length=length)
