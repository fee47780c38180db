"""Held-out items filled by a model of any kind: lengths, batches, samples, and how long the model alone took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from yanlm.evaluation.cases import Case
from yanlm.evaluation.items import Fill, Item, filled, spans_of
from yanlm.evaluation.report import one_pass
from yanlm.generation.lengths import predicted_lengths
from yanlm.modeling.build import without_flow
from yanlm.seeding import row_seed
from yanlm.tokenization.collation import Example, Ids, until_padding
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

GENERATION = 1  # stream of the seeds that generation draws from; masks have another
Hear = Callable[[int], None]


@dataclass(frozen=True)
class Filled:
    """Fills of all items by one seed.

    Attributes:
        fills: For each item its samples.
        seconds: Of generation alone, without tokenizing, batching and decoding text.
        tokens: Slots filled in that time, over all samples that were computed.
        nfe: Evaluations of the network in a generation, the mean over batches.
    """

    fills: list[list[Fill]]
    seconds: float
    tokens: int
    nfe: float


def with_predicted_lengths(
    model: YanModel, builder: Builder, made: Sequence[Item], batch_size: int = 50
) -> list[Example]:
    """Examples with as many slots as the model's length head predicts for each mask."""
    wanted = predicted_lengths(model, builder, [item.source for item in made], batch_size)
    return [_resized(builder, item, lengths) for item, lengths in zip(made, wanted, strict=True)]


def _resized(builder: Builder, item: Item, lengths: list[int]) -> Example:
    """The example with spans of other lengths, shortened where they do not fit into the context."""
    whole = _writes_all(builder, item.example)
    room = builder.max_length - (len(item.source) - len(lengths) if builder.form == "slots" or whole else 0)
    while sum(lengths) > room and max(lengths) > 1:
        lengths[lengths.index(max(lengths))] -= 1
    left = iter(lengths)
    full = [id for token in item.source for id in [token] * (next(left) if token == builder.mask else 1)]
    if builder.form == "slots":
        return Example(full, full, [i for i, id in enumerate(full) if id == builder.mask], lengths)
    target = full if whole else [builder.mask] * lengths[0]
    return Example(item.source, target, list(range(len(target))), lengths)


def _writes_all(builder: Builder, example: Example) -> bool:
    """Whether known words are written again too: texts of the separate form."""
    return builder.form == "separate" and len(example.target) > sum(example.spans)


def fill_items(
    model: YanModel,
    builder: Builder,
    made: Sequence[Item],
    prompts: Sequence[Example],
    *,
    steps: int,
    seed: int,
    samples: int = 1,
    batch_size: int = 50,
    hear: Hear = lambda done: None,
    **options: Any,
) -> Filled:
    """Fill every item ``samples`` times; rows of like lengths share a batch.

    The randomness of an item follows from ``seed`` and its place, whatever the batch: the noise z0 and the experts
    drawn are its own.
    """
    found: dict[int, list[Fill]] = {}
    seconds, tokens, nfes = 0.0, 0, []
    noisy = options.get("temperature", 1.0) or options.get("reread", False)
    drawn = samples if noisy else 1  # where nothing is drawn one result is computed and repeated
    for places, batch in _batches(model, builder, prompts, batch_size):
        began = _now(model)
        out = model.generate(
            **batch,
            steps=steps,
            samples=samples,
            seeds=[row_seed(seed, GENERATION, made[i].id) for i in places],
            **options,
        )
        seconds += _now(model) - began
        nfes.append(out.nfe)
        tokens += drawn * int(batch["slot_mask"].sum())
        for i, rows in zip(places, out.tokens.tolist(), strict=True):
            found[i] = [_read(builder, made[i], prompts[i], row[: len(prompts[i].slots)]) for row in rows]
        hear(len(found))
    return Filled([found[i] for i in range(len(made))], seconds, tokens, sum(nfes) / len(nfes))


def fill_freely(
    model: Any, builder: Builder, made: Sequence[Item], *, samples: int, batch_size: int, hear: Hear = lambda done: None
) -> Filled:
    """Fill items by a model that writes token by token and ends its spans itself, greedily: samples are alike."""
    prompts = [
        Example(item.source, item.source, [i for i, id in enumerate(item.source) if id == builder.mask], [])
        for item in made
    ]
    found: dict[int, list[Fill]] = {}
    seconds, tokens, passes = 0.0, 0, []
    for places, batch in _batches(model, builder, prompts, batch_size):
        began = _now(model)
        rows = model.generate_free(**batch, max_new=builder.reserve)
        seconds += _now(model) - began
        lengths = [[len(span) for span in spans] for spans in rows]
        tokens += sum(map(sum, lengths))
        passes.append(max(sum(row) + len(row) for row in lengths))  # one more where each span ends
        for i, spans in zip(places, rows, strict=True):
            found[i] = [filled(builder, made[i], spans)] * samples
        hear(len(found))
    return Filled([found[i] for i in range(len(made))], seconds, tokens, sum(passes) / len(passes))


def one_pass_fills(
    model: YanModel,
    builder: Builder,
    made: Sequence[Item],
    prompts: Sequence[Example],
    choices: torch.Tensor | None = None,
) -> list[Fill]:
    """What the stage-1 decoder reads off the encoder's own states at the slots."""
    if choices is not None:
        alone = without_flow(model)
        return [one for [one] in fill_items(alone, builder, made, prompts, steps=1, seed=0, choices=choices).fills]
    cases = [Case(prompt, [], "") for prompt in prompts]
    ids = one_pass(model, builder, cases)
    return [
        _read(builder, item, prompt, [row[slot] for slot in prompt.slots])
        for item, prompt, row in zip(made, prompts, ids, strict=True)
    ]


def _batches(
    model: YanModel, builder: Builder, prompts: Sequence[Example], size: int
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].source), len(prompts[i].slots), i))
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    for start in range(0, len(order), size):
        places = order[start : start + size]
        batch = builder.collate([prompts[i] for i in places])
        yield places, {name: batch[name].to(model.device) for name in names}


def _read(builder: Builder, item: Item, prompt: Example, tokens: Ids) -> Fill:
    whole = until_padding(tokens, builder.pad) if _writes_all(builder, prompt) else None
    text = None if whole is None else decode(builder.tokenizer, whole).strip()
    return filled(builder, item, spans_of(builder, prompt, tokens), text)


def _now(model: YanModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
