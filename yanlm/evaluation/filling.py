"""Fill held-out rows as a protocol says: all of them, a sample, or as many as a time allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from yanlm.evaluation.fills import Filled, fill_freely, fill_items, with_predicted_lengths
from yanlm.evaluation.held_out import Row
from yanlm.evaluation.inference import ONE_PASS, Way
from yanlm.evaluation.items import Item, items
from yanlm.evaluation.portions import Portions, sample_order
from yanlm.evaluation.protocol import Protocol
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

Hear = Callable[[str, int, int], None]


def ways_of(model: YanModel, plan: Protocol) -> list[Way]:
    """The ways in which rows are filled: every seed of the first number of steps and so on, one pass at the end."""
    ways = [Way(replace(plan.options, steps=steps), seed) for steps in plan.steps for seed in plan.seeds]
    return [*ways, ONE_PASS] if model.can.one_pass else ways


def fill_rows(
    model: YanModel,
    builder: Builder,
    plan: Protocol,
    rows: Sequence[Row],
    *,
    choices: Tensor | None = None,
    limit: int | None = None,
    seconds: float | None = None,
    hear: Hear = lambda stage, done, total: None,
) -> tuple[list[Item], list[Filled]]:
    """Fill held-out rows in every way of :func:`ways_of`.

    A row has the same masks and the same noise whatever other rows are filled.

    Args:
        model: A model of any kind.
        builder: Makes its examples.
        plan: What is asked.
        rows: All held-out rows.
        choices: Known answers.
        limit: Most rows: a random sample, part of every larger one.
        seconds: Time for it; the sample grows until it is up.
        hear: Called with a stage, and how many rows of how many are done.

    Returns:
        Items in the order of their rows, and their fills in each way.

    Raises:
        ValueError: There are no rows, or one is not of the task.
    """
    ways = ways_of(model, plan)
    whole = seconds is None and (limit is None or limit >= len(rows))
    order = list(range(len(rows))) if whole else sample_order(len(rows))[:limit]
    asked: list[Item] = []
    fills = [Filled() for _ in ways]
    portions = Portions(len(order), seconds)
    for portion in portions if rows else [range(0)]:  # no rows are an error of items
        places = [order[i] for i in portion]
        part = items(builder, [rows[place] for place in places], plan.task, places)
        if not asked:  # warms up, and is not counted
            _fill(model, builder, plan, part[: plan.batch_size], ways[:1], choices, lambda done: None)

        def told(done: int) -> None:
            hear("rows", portions.done + done, portions.expected)

        for own, more in zip(fills, _fill(model, builder, plan, part, ways, choices, told), strict=True):
            own.add(more)
        asked += part
    by_row = sorted(range(len(asked)), key=lambda i: asked[i].id)
    return [asked[i] for i in by_row], [Filled([own.fills[i] for i in by_row], own.timing) for own in fills]


def _fill(
    model: YanModel,
    builder: Builder,
    plan: Protocol,
    part: Sequence[Item],
    ways: Sequence[Way],
    choices: Tensor | None,
    hear: Callable[[int], None],
) -> list[Filled]:
    """Some items filled in some ways."""
    if plan.free:
        samples = plan.options.samples
        return [fill_freely(model, builder, part, samples=samples, batch_size=plan.batch_size, hear=hear)]
    prompts = [item.example for item in part]
    if plan.length == "predicted":
        prompts = with_predicted_lengths(model, builder, part, plan.batch_size)
    return fill_items(model, builder, part, prompts, ways, choices=choices, batch_size=plan.batch_size, hear=hear)
