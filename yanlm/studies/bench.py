"""How fast a model is: generation or training, next to others in one run, part by part, and as a share of the machine's
rates.

Time is compared in interleaved rounds (:mod:`yanlm.studies.tools.timing`). Weights do not change it, so random ones
will do.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.checks import check_choice, check_count, check_positive
from yanlm.runs.presets import get_preset
from yanlm.studies.tools.flops import measured_rates
from yanlm.studies.tools.growth import fitted
from yanlm.studies.tools.models import Named, fresh_models, load_one, size_of
from yanlm.studies.tools.parts import Parts, shares
from yanlm.studies.tools.rivals import described, rivals
from yanlm.studies.tools.steps_timing import train_timed
from yanlm.studies.tools.study import Json, integers, machine
from yanlm.studies.tools.timing import CLOCKS, Contestant, Rules, compared, question, timed
from yanlm.training.compilation import compile_blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS = "yan"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Say = Callable[[str], None]


def bench(
    *,
    preset: str | None = None,
    model: Path | None = None,
    lengths: Sequence[int] = (64, 128, 256),
    batches: Sequence[int] = (1,),
    steps: int = 3,
    against: Sequence[str] = (),
    mdlm_steps: int = 32,
    rate: float | None = None,
    precision: str = "float32",
    train: bool = False,
    compile: bool = False,
    repeats: int = 5,
    slow: float = 60.0,
    clock: str = "wall",
    seed: int = 0,
    device: str = "cpu",
    say: Say = lambda line: None,
) -> Json:
    """Time a flow beside other models, round after round in one process.

    Args:
        preset: A model with random weights, with the context it needs.
        model: Or the folder of a trained one.
        lengths: Tokens L of a text.
        batches: Texts written together.
        steps: Steps T of the flow.
        against: Names of :data:`yanlm.studies.tools.rivals.RIVALS`.
        mdlm_steps: Passes of masked diffusion.
        rate: Share of the tokens to write; by default all of them, in training .15.
        precision: ``float32`` or ``bfloat16``; the reference is always in float32.
        train: Time steps of training in place of generation.
        compile: In training, time the flow with compiled blocks, too.
        repeats: Rounds that count.
        slow: What takes more seconds than this is timed once.
        clock: ``wall``, or ``cpu`` for the processor's time of this process, which other programs disturb less.
        seed: Seed of the texts and of all random draws.
        device: Where the models run.
        say: Called with a line about each step of the work.

    Returns:
        ``device``; ``rows``, of each model at each length and batch; ``parts``, seconds of the parts of our generation;
        ``roofline``, rates of the machine and our share of them; ``fit``, cost against L; ``settings`` and ``load``.

    Raises:
        ValueError: Neither or both of preset and model are given, a name is unknown, a number is out of range, or
            nothing fits the context.
    """
    if (preset is None) == (model is None):
        raise ValueError("give --preset NAME for random weights, or --model DIR: one of them")
    if train and (model is not None or "reference" in against):
        raise ValueError("train takes --preset NAME, and has no reference to be compared with: generation has")
    lengths, batches = integers("lengths", lengths), integers("batch", batches)
    check_count("steps", steps), check_count("mdlm_steps", mdlm_steps)
    if compile and not train:
        raise ValueError("compile is of training: add train, or leave it out (generation on a GPU compiles by itself)")
    rate = (0.15 if train else 1.0) if rate is None else rate
    rules = checked_rules(rate, repeats, slow, clock, seed, device)
    dtype = PRECISIONS[check_choice("precision", precision, PRECISIONS)]
    flow = _flow(preset, model, max(lengths), device)
    lengths = _fitting(lengths, flow, say)
    others = rivals(flow, against, max(lengths), torch.float32 if train else dtype)
    if compile:
        others.insert(0, _compiled(flow))
    for named in (flow, *others):
        say(described(named))
    settings = {
        "preset": preset, "model": None if model is None else str(model), "steps": steps, "rate": rate,
        "precision": precision, "train": train, "compile": compile, "repeats": repeats, "slow": slow,
        "clock": clock, "seed": seed, "threads": torch.get_num_threads(),
    }  # fmt: skip
    document: Json = {"device": machine(), "settings": settings, "load": _load(), "rows": [], "parts": {}}
    document["roofline"] = measured_rates(device, dtype, clock) | {"cells": {}}
    for batch in batches:
        for length in lengths:
            cell = f"L = {length}, batch = {batch}"
            if train:
                _add_training(document, cell, [flow, *others], length, batch, dtype, rules)
            else:
                flow.model.to(dtype)
                entered = _entered(flow, others, steps, mdlm_steps)
                _add_generation(document, cell, entered, length, batch, rules, say)
            say(cell + ": " + ", ".join(f"{row['model']} {row['seconds']:.3g} s" for row in _rows_of(document, cell)))
    document["fit"] = fitted(document["rows"])
    for row in document["rows"]:
        del row["cell"]
    return document


def checked_rules(rate: float, repeats: int, slow: float, clock: str, seed: int, device: str) -> Rules:
    """How contestants are timed, checked.

    Raises:
        ValueError: A number is out of range, the clock is unknown or does not see the device.
    """
    check_count("repeats", repeats)
    check_positive("slow", slow)
    check_choice("clock", clock, CLOCKS)
    if clock == "cpu" and device != "cpu":
        raise ValueError(f"clock cpu does not see what runs on {device}; use wall")
    if not 0 < rate <= 1:
        raise ValueError(f"rate must lie in (0, 1], got {rate}")
    return Rules(rate, repeats, slow, clock, seed)


def bench_figure(document: Json) -> Figure:
    """Seconds against length at the smallest batch, and how many times ours that is."""
    from yanlm.studies.tools.time_figure import time_figure

    least = min(row["batch"] for row in document["rows"])
    runs: dict[str, Json] = {}
    for row in document["rows"]:
        if row["batch"] == least:
            run = {"seconds": [row["low"], row["high"]], "median": row["seconds"], "ratio": row["ratio_to_yan"]}
            runs.setdefault(row["model"], {})[str(row["length"])] = run
    what = "an optimizer step" if document["settings"]["train"] else "a generation"
    return time_figure(runs, next(iter(runs)), what)


def _flow(preset: str | None, folder: Path | None, length: int, device: str) -> Named:
    if preset:
        named, chosen = fresh_models(preset, ["flow"], length, device)[0], get_preset(preset)
        named.model.stage1, named.model.stage2, named.model.denoising = chosen.stage1, chosen.stage2, chosen.denoising
    else:
        named = load_one(Path(str(folder)), device)
    if named.method != "flow":
        raise ValueError(f"model must be a flow, got {named.method!r}; --against names what it is compared with")
    return replace(named, label=OURS)


def _compiled(flow: Named) -> Named:
    copied = copy.deepcopy(flow.model)
    compile_blocks(copied)
    return Named(f"{flow.label} compiled", copied)


def _fitting(lengths: Sequence[int], flow: Named, say: Say) -> list[int]:
    most = flow.model.config.max_length
    fitting = [length for length in lengths if length <= most]
    if not fitting:
        raise ValueError(f"lengths must be at most {most}, the context of the model, got {list(lengths)}")
    if len(fitting) < len(lengths):
        say(f"lengths above {most} are left out: the context of the model does not hold them")
    return fitting


def _entered(flow: Named, others: Sequence[Named], steps: int, mdlm_steps: int) -> list[Contestant]:
    taken = {"mdlm": mdlm_steps, "gpt2": None, "bart": None}
    return [Contestant(named.label, named, taken.get(named.label, steps)) for named in (flow, *others)]


def _add_generation(
    document: Json, cell: str, entered: Sequence[Contestant], length: int, batch: int, rules: Rules, say: Say
) -> None:
    runs = compared(timed(entered, length, rules, batch), OURS)
    for entry in entered:
        if entry.label not in runs:
            say(f"{cell}: {entry.label} ran out of memory and is left out")
    sizes = {entry.label: size_of(entry.named.model) for entry in entered}
    document["rows"] += [_row(cell, label, run, length, batch, sizes[label]) for label, run in runs.items()]
    model, steps = entered[0].named.model, entered[0].steps or 1
    if model.can.denoises or OURS not in runs:  # if the encoder denoises, it is the trunk too
        return
    asked = {
        name: x.to(model.device) for name, x in question(model.config, length, rules.rate, rules.seed, batch).items()
    }
    parts = Parts(model, **asked, steps=steps)
    document["parts"][cell] = parts.seconds(rules.clock, rules.repeats)
    rates = document["roofline"]
    rates["cells"][cell] = shares(parts.work(), runs[OURS]["median"], rates)


def _add_training(
    document: Json, cell: str, models: Sequence[Named], length: int, batch: int, dtype: torch.dtype, rules: Rules
) -> None:
    runs, tflop = train_timed(models, length, batch, dtype, rules)
    base = next(iter(runs))
    sizes = {named.label: size_of(named.model) for named in models}
    for label, run in compared(runs, base).items():
        size = sizes[label.split(",")[0]]
        document["rows"].append(_row(cell, label, run, length, batch, size))
        share = tflop[label] / run["median"] / document["roofline"]["matrix_tflops"]
        document["roofline"]["cells"][f"{cell}, {label}"] = {"tflop": tflop[label], "share_of_matrix_rate": share}


def _row(cell: str, label: str, run: Mapping[str, Any], length: int, batch: int, parameters: int) -> Json:
    return {
        "cell": cell,
        "model": label,
        "length": length,
        "batch": batch,
        "seconds": run["median"],
        "low": min(run["seconds"]),
        "high": max(run["seconds"]),
        "tokens_per_second": batch * length / run["median"],
        "peak_memory_gb": run.get("peak_memory_gb"),
        "ratio_to_yan": run["ratio"],
        "evaluations": run["nfe"],
        "parameters": parameters,
    }


def _rows_of(document: Json, cell: str) -> list[Json]:
    return [row for row in document["rows"] if row["cell"] == cell]


def _load() -> list[float] | None:
    """Processes that wanted a processor in the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
