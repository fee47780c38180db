"""Contestants against the clock: one generation each, round after round, side by side."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from yanlm.studies.tools.models import Named
from yanlm.studies.tools.study import Json
from yanlm.tokenization.masking import mask_spans

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""What seconds are: those of the wall, or those that the processor spent on this process."""


WARM_UP = 16
"""Tokens of a text that everyone writes before the clock runs: a device loads kernels when they are first used."""


class Contestant(NamedTuple):
    """A model with its number of steps: None for what takes none, 0 for as many as there are tokens."""

    label: str
    named: Named
    steps: int | None


def question(config: Any, length: int, rate: float, seed: int) -> dict[str, torch.Tensor]:
    """A text of random tokens, a share of them to be written, as :meth:`generate` of any model takes it.

    Example:
        >>> from yanlm.config import YanConfig
        >>> text = question(YanConfig(), 8, 1.0, 0)
        >>> text["source_ids"].shape, text["slots"].tolist()
        (torch.Size([1, 8]), [[0, 1, 2, 3, 4, 5, 6, 7]])
    """
    rng = random.Random(seed)
    words = [rng.randrange(min(config.pad_token_id, config.mask_token_id)) for _ in range(length)]
    hidden = list(range(length)) if rate == 1 else mask_spans(length, rng, rate=(rate, rate))
    behind = set(hidden)
    source = [config.mask_token_id if i in behind else id for i, id in enumerate(words)]
    slots = hidden
    if config.form == "separate":  # one mask a span, and the whole text is written
        source = [id for i, id in enumerate(source) if not (i in behind and i - 1 in behind)]
        slots = list(range(length))
    return {"source_ids": torch.tensor([source]), "slots": torch.tensor([slots])}


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


def timed(
    entered: Sequence[Contestant], length: int, rate: float, repeats: int, slow: float, clock: str, seed: int
) -> dict[str, Json]:
    """Seconds of every contestant, round by round, and evaluations of its network.

    Args:
        entered: The contestants.
        length: Of the text in tokens.
        rate: Share of them to be written.
        repeats: Rounds that count, after one that does not.
        slow: Seconds from which a contestant is timed once, in the first round, with a short text as its warm-up.
        clock: One of :data:`CLOCKS`.
        seed: Of the text and everything drawn.
    """
    texts = _questions(entered, length, rate, seed)
    short = min(length, WARM_UP)
    short_texts = _questions(entered, short, rate, seed)
    for entry in entered:
        _once(entry, short_texts[entry.named.label], short, CLOCKS[clock], seed)
    runs: dict[str, Json] = {entry.label: {"seconds": [], "nfe": 0} for entry in entered}
    for turn in range(repeats + 1):
        shift = turn % len(entered)
        for entry in [*entered[shift:], *entered[:shift]]:
            run = runs[entry.label]
            if turn and run["seconds"] and run["seconds"][0] > slow:
                continue
            seconds, run["nfe"] = _once(entry, texts[entry.named.label], length, CLOCKS[clock], seed + turn)
            if turn == 1:
                run["seconds"].clear()  # the first round warms up
            run["seconds"].append(seconds)
    return runs


def _questions(
    entered: Sequence[Contestant], length: int, rate: float, seed: int
) -> dict[str, dict[str, torch.Tensor]]:
    """The text of every model by its label, on its device."""
    models = {entry.named.label: entry.named.model for entry in entered}
    return {
        label: {name: tensor.to(model.device) for name, tensor in question(model.config, length, rate, seed).items()}
        for label, model in models.items()
    }


def _once(
    entry: Contestant, text: Mapping[str, torch.Tensor], length: int, now: Callable[[], float], seed: int
) -> tuple[float, int]:
    """Seconds of a generation, and evaluations of its network."""
    model = entry.named.model
    _wait(model)
    began = now()
    out = model.generate(**text, seeds=[seed], steps=1 if entry.steps is None else entry.steps or length)
    _wait(model)
    return now() - began, int(out.nfe)


def _wait(model: Any) -> None:
    kind = model.device.type
    if kind != "cpu":
        getattr(torch, kind).synchronize()
