"""A model of any kind fills the slots of held-out examples, in batches of similar lengths; how long that took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from yanlm.evaluation.held_out import generation_seeds
from yanlm.generation.choices import answer_scores, likeliest
from yanlm.generation.flow_sampling import generate
from yanlm.generation.options import GenerationOptions
from yanlm.generation.result import Generation
from yanlm.modeling.build import without_flow
from yanlm.nn.slots import gather_tokens
from yanlm.tokenization.collation import Batch, Example, Ids, call_cost, together
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

Hear = Callable[[int], None]
BATCH = 50
"""Rows generated together by default."""


@dataclass
class Timing:
    """What filling took.

    Attributes:
        seconds: Seconds of the generation, without tokenizing, batching and decoding text.
        tokens: Slots filled in that time, over all samples that were computed.
        passes: Evaluations of the network in each batch.
    """

    seconds: float = 0.0
    tokens: int = 0
    passes: list[int] = field(default_factory=list)

    @property
    def nfe(self) -> float:
        """Evaluations of the network in a generation, the mean over batches."""
        return sum(self.passes) / len(self.passes)

    def add(self, other: Timing) -> None:
        """Count what another part took, too."""
        self.seconds, self.tokens = self.seconds + other.seconds, self.tokens + other.tokens
        self.passes += other.passes


@dataclass(frozen=True)
class Written:
    """Tokens that a model writes into the slots of prompts.

    Attributes:
        tokens: For each prompt its samples: the ids of its slots, padding among them.
        experts: How often each expert was drawn for a slot of the first samples.
        timing: What it took.
    """

    tokens: list[list[Ids]] = field(default_factory=list)
    experts: Counter[int] = field(default_factory=Counter)
    timing: Timing = field(default_factory=Timing)

    @property
    def first(self) -> list[Ids]:
        """The first sample of each prompt."""
        return [samples[0] for samples in self.tokens]

    def add(self, other: Written) -> None:
        """Put what was written into more prompts behind this."""
        self.tokens.extend(other.tokens)
        self.experts.update(other.experts)
        self.timing.add(other.timing)


class Way(NamedTuple):
    """One way to fill slots.

    Attributes:
        options: Generation options without seeds; ``None`` for what the decoder of stage 1 reads off the encoder's own
            states in one pass, as a masked model does.
        seed: Seed of the noise and of all random draws.
    """

    options: GenerationOptions | None
    seed: int = 0


ONE_PASS = Way(None)


def write_ways(
    model: YanModel,
    builder: Builder,
    prompts: Sequence[Example],
    ways: Sequence[Way],
    *,
    places: Sequence[int] | None = None,
    choices: Tensor | None = None,
    batch_size: int = BATCH,
    hear: Hear = lambda done: None,
) -> list[Written]:
    """Let a model write into the slots of prompts, once in each way; rows of similar lengths share a batch.

    A flow behind its encoder reads a source once for all ways. The randomness of a row follows from the seed of the way
    and the row's place, whatever the batch: the noise z0 and the experts drawn are its own.

    Args:
        model: A model of any kind.
        builder: Makes its batches.
        prompts: Examples to fill.
        ways: How.
        places: Places of the prompts among all held-out rows; by default the prompts are all rows.
        choices: Known answers, one of which fills a row's slots.
        batch_size: Rows at a time.
        hear: Told how many prompts are filled.

    Returns:
        What was written in each way; the time of each counts the reading of the source.
    """
    places = range(len(prompts)) if places is None else places
    writers = [_Writer(model, way, choices) for way in ways]
    shared = model.device.type == "cpu" and len(ways) > 1 and all(writer.reads_once for writer in writers)
    tokens: list[dict[int, list[Ids]]] = [{} for _ in ways]
    for own, batch in batches(model, builder, prompts, batch_size):
        began, states = _now(model), None
        if shared:  # elsewhere a launch costs more than its work, and a generation may be one graph
            with torch.no_grad():
                states = model.encode(batch["source_ids"], batch["source_mask"])
        reading, at = _now(model) - began, [places[i] for i in own]
        for writer, written in zip(writers, tokens, strict=True):
            rows = writer.write(batch, at, states, reading)
            written |= {i: [ids[: len(prompts[i].slots)] for ids in row] for i, row in zip(own, rows, strict=True)}
        hear(len(tokens[0]))
    order = range(len(prompts))
    return [
        Written([written[i] for i in order], writer.experts, writer.timing)
        for writer, written in zip(writers, tokens, strict=True)
    ]


def write_slots(
    model: YanModel, builder: Builder, prompts: Sequence[Example], options: GenerationOptions, seed: int, **how: Any
) -> Written:
    """Let a model write into the slots of prompts in one way; further arguments are those of :func:`write_ways`."""
    [written] = write_ways(model, builder, prompts, [Way(options, seed)], **how)
    return written


def one_pass(model: YanModel, builder: Builder, prompts: Sequence[Example], **how: Any) -> list[Ids]:
    """What the decoder of stage 1 reads off the encoder's own states at the slots: :data:`ONE_PASS`."""
    [written] = write_ways(model, builder, prompts, [ONE_PASS], **how)
    return written.first


class _Writer:
    """One way to fill slots, with what it took so far."""

    def __init__(self, model: Any, way: Way, choices: Tensor | None) -> None:
        self.model, self.way, self.choices = model, way, choices
        self.experts, self.timing = Counter[int](), Timing()
        self.reads_once = model.can.reads_once and (way.options is None or not way.options.reread)
        self.alone = None if way.options or choices is None or self.reads_once else without_flow(model)

    def write(self, batch: Batch, places: Sequence[int], states: Tensor | None, reading: float) -> list[list[Ids]]:
        """Samples of each row of a batch; ``reading`` the source took so many seconds, if ``states`` are given."""
        began, options = _now(self.model), self.way.options
        seeds = generation_seeds(self.way.seed, places)
        out = self._one_pass(batch, states) if options is None else self._filled(options, seeds, batch, states)
        self.timing.seconds += reading + _now(self.model) - began
        self.timing.passes.append(out.nfe)
        drawn = options.samples if options and self.model.can.draws(options) else 1  # else one is computed and repeated
        self.timing.tokens += drawn * int(batch["slot_mask"].sum())
        if out.assignment is not None:
            self.experts.update(out.assignment[:, 0][batch["slot_mask"]].tolist())
        rows: list[list[Ids]] = out.tokens.tolist()
        return rows

    def _filled(
        self, options: GenerationOptions, seeds: Sequence[int], batch: Batch, states: Tensor | None
    ) -> Generation:
        options = replace(options, seeds=seeds)
        if states is not None:
            rest: dict[str, Any] = {**batch, "states": states, "choices": self.choices}
            return generate(self.model, options=options, **rest)
        known = {} if self.choices is None else {"choices": self.choices}
        out: Generation = self.model.generate(**batch, options=options, **known)
        return out

    @torch.no_grad()
    def _one_pass(self, batch: Batch, states: Tensor | None) -> Generation:
        if self.alone is not None:
            out: Generation = self.alone.generate(**batch, choices=self.choices, options=GenerationOptions(steps=1))
            return out
        states = self.model.encode(batch["source_ids"], batch["source_mask"]) if states is None else states
        at_slots = gather_tokens(states, batch["slots"])
        if self.choices is None:
            return Generation(self.model.decoder.tokens(at_slots).unsqueeze(1), None, 1)
        scores = answer_scores(self.model.decoder(at_slots), self.choices)
        return Generation(likeliest(scores, self.choices).unsqueeze(1), None, 1, scores.unsqueeze(1))


def batches(
    model: YanModel, builder: Builder, prompts: Sequence[Example], size: int
) -> Iterator[tuple[list[int], Batch]]:
    """Numbers of the prompts of each batch, and the inputs of the model for them; rows of similar lengths are
    together."""
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    for own in together(prompts, size, call_cost(model.config.d_model, model.device.type)):
        batch = builder.collate([prompts[i] for i in own])
        yield own, {name: batch[name].to(model.device) for name in names}


def _now(model: YanModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
