"""Fills of items: with given or predicted lengths, or by a model that decides the lengths as it writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yanlm.evaluation.held_out import writes_all
from yanlm.evaluation.inference import BATCH, Timing, Way, batches, write_ways
from yanlm.evaluation.items import Fill, Item, filled, read_fill
from yanlm.generation.lengths import predicted_lengths
from yanlm.tokenization.collation import Example
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel


@dataclass(frozen=True)
class Filled:
    """Fills of items in one way: the samples of each item, and their time."""

    fills: list[list[Fill]] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)

    def add(self, other: Filled) -> None:
        """Put the fills of more items behind these."""
        self.fills.extend(other.fills)
        self.timing.add(other.timing)


def fill_items(
    model: YanModel,
    builder: Builder,
    items: Sequence[Item],
    prompts: Sequence[Example],
    ways: Sequence[Way],
    **how: Any,
) -> list[Filled]:
    """Fill every item by its prompt, in each way: :func:`yanlm.evaluation.inference.write_ways`."""
    places = [item.id for item in items]
    filled_ways = []
    for written in write_ways(model, builder, prompts, ways, places=places, **how):
        fills = [
            [read_fill(builder, item, prompt, tokens) for tokens in samples]
            for item, prompt, samples in zip(items, prompts, written.tokens, strict=True)
        ]
        filled_ways.append(Filled(fills, written.timing))
    return filled_ways


def fill_freely(
    model: Any,
    builder: Builder,
    items: Sequence[Item],
    *,
    samples: int,
    batch_size: int = BATCH,
    hear: Callable[[int], None] = lambda done: None,
) -> Filled:
    """Fill items by a model that writes token by token and ends its spans itself, greedily: samples are alike."""
    prompts = [
        Example(item.source, item.source, [i for i, id in enumerate(item.source) if id == builder.mask], [])
        for item in items
    ]
    fills: dict[int, list[Fill]] = {}
    timing = Timing()
    for own, batch in batches(model, builder, prompts, batch_size):
        began = time.perf_counter()
        rows = model.generate_free(**batch, max_new=builder.reserve)  # lists: the device is waited for
        timing.seconds += time.perf_counter() - began
        lengths = [[len(span) for span in spans] for spans in rows]
        timing.tokens += sum(map(sum, lengths))
        timing.passes.append(max(sum(row) + len(row) for row in lengths))  # one more where each span ends
        for i, spans in zip(own, rows, strict=True):
            fills[i] = [filled(builder, items[i], spans)] * samples
        hear(len(fills))
    return Filled([fills[i] for i in range(len(items))], timing)


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
