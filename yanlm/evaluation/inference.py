"""Held-out examples filled by a model of any kind: lengths, batches, samples, and how long the model alone took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from yanlm.evaluation.held_out import generation_seeds, writes_all
from yanlm.evaluation.items import Fill, Item, filled, read_fill
from yanlm.generation.lengths import predicted_lengths
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.build import without_flow
from yanlm.nn.slots import gather_tokens
from yanlm.tokenization.collation import Batch, Example, Ids
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

Hear = Callable[[int], None]
BATCH = 50
"""Rows generated together unless one says otherwise."""


@dataclass
class Timing:
    """What filling took.

    Attributes:
        seconds: Of generation alone, without tokenizing, batching and decoding text.
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


@dataclass(frozen=True)
class Written:
    """Tokens that a model writes into the slots of prompts.

    Attributes:
        tokens: For each prompt its samples: the ids of its slots, padding among them.
        experts: How often each expert was drawn for a slot of the first samples.
        timing: What it took.
    """

    tokens: list[list[Ids]]
    experts: Counter[int]
    timing: Timing

    @property
    def first(self) -> list[Ids]:
        """The first sample of each prompt."""
        return [samples[0] for samples in self.tokens]


@dataclass(frozen=True)
class Filled:
    """Fills of all items by one seed: for each item its samples, and what they took."""

    fills: list[list[Fill]]
    timing: Timing


def with_predicted_lengths(
    model: YanModel, builder: Builder, items: Sequence[Item], batch_size: int = BATCH
) -> list[Example]:
    """Examples with as many slots as the model's length head predicts for each mask."""
    wanted = predicted_lengths(model, builder, [item.source for item in items], batch_size)
    return [_resized(builder, item, lengths) for item, lengths in zip(items, wanted, strict=True)]


def _resized(builder: Builder, item: Item, lengths: list[int]) -> Example:
    """The example with spans of other lengths, shortened where they do not fit into the context."""
    whole = writes_all(builder, item.example)
    room = builder.max_length - (len(item.source) - len(lengths) if builder.form == "slots" or whole else 0)
    while sum(lengths) > room and max(lengths) > 1:
        lengths[lengths.index(max(lengths))] -= 1
    left = iter(lengths)
    full = [id for token in item.source for id in [token] * (next(left) if token == builder.mask else 1)]
    if builder.form == "slots":
        return Example(full, full, [i for i, id in enumerate(full) if id == builder.mask], lengths)
    target = full if whole else [builder.mask] * lengths[0]
    return Example(item.source, target, list(range(len(target))), lengths)


def write_slots(
    model: YanModel,
    builder: Builder,
    prompts: Sequence[Example],
    options: GenerationOptions,
    seed: int,
    *,
    choices: torch.Tensor | None = None,
    batch_size: int = BATCH,
    hear: Hear = lambda done: None,
) -> Written:
    """Let a model write into the slots of prompts; rows of like lengths share a batch.

    The randomness of a row follows from ``seed`` and its place, whatever the batch: the noise z0 and the experts drawn
    are its own.

    Args:
        model: A model of any kind.
        builder: Makes its batches.
        prompts: Examples to fill.
        options: How; their seeds do not count.
        seed: Of the noise and of all that is drawn.
        choices: Known answers, one of which fills a row's slots.
        batch_size: Rows at a time.
        hear: Told how many prompts are filled.
    """
    tokens: dict[int, list[Ids]] = {}
    experts, timing = Counter[int](), Timing()
    known = {} if choices is None else {"choices": choices}
    drawn = options.samples if model.can.draws(options) else 1  # else one is computed and repeated
    for places, batch in batches(model, builder, prompts, batch_size):
        began = _now(model)
        out = model.generate(**batch, options=replace(options, seeds=generation_seeds(seed, places)), **known)
        timing.seconds += _now(model) - began
        timing.passes.append(out.nfe)
        timing.tokens += drawn * int(batch["slot_mask"].sum())
        if out.assignment is not None:
            experts.update(out.assignment[:, 0][batch["slot_mask"]].tolist())
        for i, samples in zip(places, out.tokens.tolist(), strict=True):
            tokens[i] = [sample[: len(prompts[i].slots)] for sample in samples]
        hear(len(tokens))
    return Written([tokens[i] for i in range(len(prompts))], experts, timing)


def fill_items(
    model: YanModel,
    builder: Builder,
    items: Sequence[Item],
    prompts: Sequence[Example],
    options: GenerationOptions,
    seed: int,
    **how: Any,
) -> Filled:
    """Fill every item, each by its prompt; arguments are those of :func:`write_slots`."""
    written = write_slots(model, builder, prompts, options, seed, **how)
    fills = [
        [read_fill(builder, item, prompt, tokens) for tokens in samples]
        for item, prompt, samples in zip(items, prompts, written.tokens, strict=True)
    ]
    return Filled(fills, written.timing)


def fill_freely(
    model: Any,
    builder: Builder,
    items: Sequence[Item],
    *,
    samples: int,
    batch_size: int = BATCH,
    hear: Hear = lambda done: None,
) -> Filled:
    """Fill items by a model that writes token by token and ends its spans itself, greedily: samples are alike."""
    prompts = [
        Example(item.source, item.source, [i for i, id in enumerate(item.source) if id == builder.mask], [])
        for item in items
    ]
    fills: dict[int, list[Fill]] = {}
    timing = Timing()
    for places, batch in batches(model, builder, prompts, batch_size):
        began = _now(model)
        rows = model.generate_free(**batch, max_new=builder.reserve)
        timing.seconds += _now(model) - began
        lengths = [[len(span) for span in spans] for spans in rows]
        timing.tokens += sum(map(sum, lengths))
        timing.passes.append(max(sum(row) + len(row) for row in lengths))  # one more where each span ends
        for i, spans in zip(places, rows, strict=True):
            fills[i] = [filled(builder, items[i], spans)] * samples
        hear(len(fills))
    return Filled([fills[i] for i in range(len(items))], timing)


@torch.no_grad()
def one_pass(
    model: YanModel,
    builder: Builder,
    prompts: Sequence[Example],
    *,
    choices: torch.Tensor | None = None,
    batch_size: int = BATCH,
) -> list[Ids]:
    """Tokens of the slots that the decoder of stage 1 reads off the encoder's own states there, as a masked model does.

    With ``choices`` they are the most probable of the known answers.
    """
    if choices is not None:
        alone, once = without_flow(model), GenerationOptions(steps=1)
        return write_slots(alone, builder, prompts, once, 0, choices=choices, batch_size=batch_size).first
    tokens: dict[int, Ids] = {}
    for places, batch in batches(model, builder, prompts, batch_size):
        states = gather_tokens(model.encode(batch["source_ids"], batch["source_mask"]), batch["slots"])
        for i, row in zip(places, model.decoder.tokens(states).tolist(), strict=True):
            tokens[i] = row[: len(prompts[i].slots)]
    return [tokens[i] for i in range(len(prompts))]


def batches(
    model: YanModel, builder: Builder, prompts: Sequence[Example], size: int
) -> Iterator[tuple[list[int], Batch]]:
    """Places of the prompts of each batch, and what a model is given of them; rows of like lengths are together."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].source), len(prompts[i].slots), i))
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    for start in range(0, len(order), size):
        places = order[start : start + size]
        batch = builder.collate([prompts[i] for i in places])
        yield places, {name: batch[name].to(model.device) for name in names}


def _now(model: YanModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
