"""Contestants against the clock: one generation each, round after round, side by side."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from yanlm.studies.tools.memory import PeakMemory
from yanlm.studies.tools.models import Named
from yanlm.studies.tools.study import Json
from yanlm.tokenization.masking import mask_spans

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""The clocks: wall-clock time, or the time that the processor spent on this process."""


WARM_UP = 16
"""Tokens of a text that every model writes before the clock runs, since a device loads kernels on first use."""


WARM_ROUNDS = 2
"""Rounds that do not count: a graph of kernels is recorded when a shape comes for the second time."""


class Contestant(NamedTuple):
    """A model with its number of steps: None for a model without steps, 0 for as many as there are tokens."""

    label: str
    named: Named
    steps: int | None


class Rules(NamedTuple):
    """How contestants are timed.

    ``rate`` is the share of a text that is to be written, ``repeats`` the rounds that count, ``slow`` the seconds from
    which a contestant is timed once, in the first of them, ``clock`` one of :data:`CLOCKS`, ``seed`` that of the texts
    and of everything drawn.
    """

    rate: float = 1.0
    repeats: int = 5
    slow: float = 60.0
    clock: str = "wall"
    seed: int = 0


def question(config: Any, length: int, rate: float, seed: int, batch: int = 1) -> dict[str, torch.Tensor]:
    """Texts of random tokens, a share of them to be written, as :meth:`generate` of any model takes them.

    The places are the same in all of a batch, so that no padding is counted as work. In the separate form the flow goes
    over the whole text, and only the words that are wanted are read off it; if that is all of them, the source is
    another text as long.

    Example:
        >>> from yanlm.config import YanConfig
        >>> text = question(YanConfig(), 8, 1.0, 0)
        >>> text["source_ids"].shape, text["slots"].tolist()
        (torch.Size([1, 8]), [[0, 1, 2, 3, 4, 5, 6, 7]])
    """
    rng = random.Random(seed)
    words = min(config.pad_token_id, config.mask_token_id)
    texts = [[rng.randrange(words) for _ in range(length)] for _ in range(batch)]
    hidden = list(range(length)) if rate == 1 else mask_spans(length, rng, rate=(rate, rate))
    behind = set(hidden)
    if config.form == "slots":
        sources = [[config.mask_token_id if i in behind else id for i, id in enumerate(text)] for text in texts]
        return {"source_ids": torch.tensor(sources), "slots": torch.tensor([hidden] * batch)}
    asked = {"source_ids": torch.tensor(texts), "slots": torch.arange(length).repeat(batch, 1)}
    if rate == 1:
        return asked
    kept = [i for i in range(length) if not (i in behind and i - 1 in behind)]  # one mask a span
    asked["source_ids"] = asked["source_ids"].index_fill(1, torch.tensor(hidden), config.mask_token_id)[:, kept]
    return asked | {
        "wanted": torch.zeros_like(asked["slots"], dtype=torch.bool).index_fill(1, torch.tensor(hidden), True)
    }


def contestants(loaded: Sequence[Named], steps: Sequence[int], mdlm_steps: Sequence[int]) -> list[Contestant]:
    """Every model with every number of steps of its method."""
    entered = []
    for named in loaded:
        if not named.can.refine:
            entered.append(Contestant(named.label, named, None))
            continue
        counts = steps if named.can.noise else [*filter(None, mdlm_steps), *(n for n in mdlm_steps if not n)]
        entered += [Contestant(f"{named.label}, T = {count or 'L'}", named, count) for count in counts]
    return entered


def timed(entered: Sequence[Contestant], length: int, rules: Rules, batch: int = 1) -> dict[str, Json]:
    """Seconds of every contestant, round by round, evaluations of its network, and the memory it took.

    Args:
        entered: The contestants.
        length: Length of the texts in tokens.
        rules: How they are timed.
        batch: Texts written together.

    Returns:
        By label; without those that ran out of a GPU's memory.
    """
    texts = _questions(entered, length, rules, batch)
    short = min(length, WARM_UP)
    short_texts = _questions(entered, short, rules, 1)
    for entry in entered:
        _once(entry, short_texts[entry.named.label], short, rules)
    runs: dict[str, Json] = {entry.label: {"seconds": [], "nfe": 0} for entry in entered}
    for turn in range(WARM_ROUNDS + rules.repeats):
        shift = turn % len(entered)
        for entry in [*entered[shift:], *entered[:shift]]:
            run, text = runs.get(entry.label), texts[entry.named.label]
            if run is None or (run["seconds"] and run["seconds"][0] > rules.slow):
                continue
            try:
                with PeakMemory(entry.named.model, when=turn < WARM_ROUNDS) as memory:
                    seconds, run["nfe"] = _once(entry, text, length, rules, turn)
            except torch.OutOfMemoryError:
                del runs[entry.label]
                continue
            if turn < WARM_ROUNDS:
                run["peak_memory_gb"] = memory.gigabytes
            if turn <= WARM_ROUNDS:
                run["seconds"].clear()
            run["seconds"].append(seconds)
    return runs


def compared(runs: Mapping[str, Json], base: str | None) -> dict[str, Json]:
    """Runs of :func:`timed` with their median, and how many times the seconds of the contestant ``base`` they took.

    Ratios are taken round by round where both ran in all of them, since what disturbs a round disturbs both; the
    median counts.

    Example:
        >>> runs = {"a": {"seconds": [1.0, 2.0, 4.0]}, "b": {"seconds": [2.0, 4.0, 4.0]}}
        >>> compared(runs, "a")["b"]
        {'seconds': [2.0, 4.0, 4.0], 'median': 4.0, 'ratio': 2.0}
    """
    first = runs[base]["seconds"] if base is not None and base in runs else []
    result = {}
    for label, run in runs.items():
        own = run["seconds"]
        pairs = zip(own, first, strict=True) if len(own) == len(first) else ((x, y) for x in own for y in first)
        ratio = statistics.median([x / y for x, y in pairs]) if first else None
        result[label] = {**run, "median": statistics.median(own), "ratio": ratio}
    return result


def _questions(
    entered: Sequence[Contestant], length: int, rules: Rules, batch: int
) -> dict[str, dict[str, torch.Tensor]]:
    """The texts of every model by its label, on its device."""
    models = {entry.named.label: entry.named.model for entry in entered}
    asked = {label: question(model.config, length, rules.rate, rules.seed, batch) for label, model in models.items()}
    return {
        label: {name: tensor.to(models[label].device) for name, tensor in text.items()} for label, text in asked.items()
    }


def _once(
    entry: Contestant, text: Mapping[str, torch.Tensor], length: int, rules: Rules, turn: int = 0
) -> tuple[float, int]:
    """Seconds of a generation, and evaluations of its network."""
    model, now = entry.named.model, CLOCKS[rules.clock]
    seeds = [rules.seed + turn + row for row in range(len(text["slots"]))]
    wait(model.device)
    began = now()
    out = model.generate(**text, seeds=seeds, steps=1 if entry.steps is None else entry.steps or length)
    wait(model.device)
    return now() - began, int(out.nfe)


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def seconds_of(
    calls: Mapping[str, Callable[[], Any]], device: torch.device, clock: str, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each of several calls, in turn, round after round; the first round does not count.

    Example:
        >>> [len(own) for own in seconds_of({"a": int, "b": dict}, torch.device("cpu"), "wall", 3).values()]
        [3, 3]
    """
    now = CLOCKS[clock]
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            wait(device)
            began = now()
            call()
            wait(device)
            if turn:
                seconds[name].append(now() - began)
    return seconds
