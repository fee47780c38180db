"""Seconds a text takes, by its length (the paper's Fig. 4, bottom, and Fig. 9): all models side by side in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from yanlm.studies.bench import checked_rules
from yanlm.studies.tools.models import blocks_of, fresh_models, load_named, size_of
from yanlm.studies.tools.study import COUNTED_STEPS, Json, Study, integers, markdown, spread
from yanlm.studies.tools.time_figure import time_figure
from yanlm.studies.tools.timing import Contestant, compared, contestants, timed

REFERENCE = 3
"""Steps of the first flow that times are divided by."""

FRESH = ("flow", "gpt2", "bart", "mdlm")


def lengths_study(
    study: Study,
    lengths: Sequence[int],
    *,
    models: Sequence[str] = (),
    preset: str | None = None,
    methods: Sequence[str] = FRESH,
    steps: Sequence[int] = (1, 3),
    mdlm_steps: Sequence[int] = (8, 32, 0),
    rate: float = 1.0,
    repeats: int = 5,
    slow: float = 60.0,
    clock: str = "wall",
    threads: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Json:
    """Time one generation of a text of L tokens at batch size 1, for every model and L.

    Every round times each model once, in an order that changes from round to round; the first two are discarded, and
    the median of the others counts.

    Args:
        study: Its folder.
        lengths: Numbers of tokens L.
        models: Folders of trained models; or none, and
        preset: builds one model a method with random weights and the context they need.
        methods: Methods of these models.
        steps: Steps T of flows; 3 is always among them.
        mdlm_steps: Steps of masked diffusion; 0 stands for L, one token a step.
        rate: Share of the tokens to write: 1 for all, .1 as in infilling.
        repeats: Rounds that count.
        slow: A generation that takes more seconds than this is timed once.
        clock: ``wall``, or ``cpu`` for the processor's time of this process, which other programs disturb less.
        threads: Threads that torch was told to use, for the settings: other times are measured with others.
        seed: Seed of the texts and of all random draws.
        device: Where the models run.

    Raises:
        ValueError: Neither or both of models and preset are given, or a number is out of range.
    """
    if bool(models) == bool(preset):
        raise ValueError("give --model DIR, or --preset NAME for models with random weights: one of them")
    lengths = integers("lengths", lengths)
    rules = checked_rules(rate, repeats, slow, clock, seed, device)
    loaded = fresh_models(preset, methods, max(lengths), device) if preset else load_named(models, device)
    entered = contestants(loaded, integers("steps", [*steps, REFERENCE]), integers("mdlm_steps", mdlm_steps, 0))
    study.begin({
        "preset": preset, "rate": rate, "repeats": repeats, "slow": slow, "clock": clock, "seed": seed,
        "threads": threads, "device": device, "contestants": [entry.label for entry in entered],
        "weights": [named.mark for named in loaded],
    })  # fmt: skip
    for named in loaded:
        kind = "" if named.label == named.method else f"{named.method}, "
        study.note(
            f"{named.label}: {kind}{size_of(named.model) / 1e6:.1f}M parameters, {blocks_of(named.model)} blocks"
        )
    runs: dict[str, Json] = {}
    for length in lengths:
        fitting = [entry for entry in entered if length <= entry.named.model.config.max_length]
        for label in dict.fromkeys(entry.named.label for entry in entered if entry not in fitting):
            study.note(f"{label} is left out at {length} tokens, which its context does not hold")
        if fitting:
            runs[str(length)] = study.piece(f"L = {length}", partial(timed, fitting, length, rules))
            once = [label for label, run in runs[str(length)].items() if len(run["seconds"]) < repeats]
            if once:
                study.note(f"at {length} tokens timed once, for it took over {slow:g} s: {', '.join(once)}")
    if not runs:
        raise ValueError(f"lengths must fit the context of a model, got {lengths}")
    summary = _summary(runs, _reference(entered), [entry.label for entry in entered])
    if summary["reference"]:
        study.note(COUNTED_STEPS)
    figure = time_figure(summary["by_model"], summary["reference"])
    words = _words(rate, clock, repeats, preset, summary["reference"])
    return study.finish("Time by length", words, _tables(summary), figure, summary)


def _words(rate: float, clock: str, repeats: int, preset: str | None, reference: str | None) -> str:
    seconds, share = "Processor seconds" if clock == "cpu" else "Seconds", "all" if rate == 1 else f"{rate:.0%}"
    words = (
        f"{seconds} of one generation at batch size 1: a text of L tokens, of which {share} are to be written. "
        f"{'Random weights; m' if preset else 'M'}edian and range of {repeats} interleaved rounds."
    )
    return words + (f" Ratios are to {reference}, round by round, and their median." if reference else "")


def _reference(entered: Sequence[Contestant]) -> str | None:
    flows = (entry.label for entry in entered if entry.named.can.noise and entry.steps == REFERENCE)
    return next(flows, None)


def _summary(runs_by_length: Mapping[str, Json], reference: str | None, labels: Sequence[str]) -> Json:
    by_label: dict[str, Json] = {label: {} for label in labels}
    for length, runs in runs_by_length.items():
        for label, run in compared(runs, reference).items():
            by_label[label][length] = run
    return {"reference": reference, "by_model": {label: runs for label, runs in by_label.items() if runs}}


def _tables(summary: Json) -> dict[str, str]:
    lengths = list(dict.fromkeys(length for runs in summary["by_model"].values() for length in runs))
    head = ["", *(f"L = {length}" for length in sorted(lengths, key=int))]
    seconds, ratios = [], []
    for label, runs in summary["by_model"].items():
        here = [runs.get(length) for length in sorted(lengths, key=int)]
        seconds.append([label, *(spread(run["seconds"], ".3g") if run else "" for run in here)])
        ratios.append([label, *(f"{run['ratio']:.2f}" if run and run["ratio"] else "" for run in here)])
    tables = {"Seconds": markdown(head, seconds)}
    return tables | ({f"Times {summary['reference']}": markdown(head, ratios)} if summary["reference"] else {})
