"""Baselines without a trained network, as fills of the same items: copying, guessing, and using a given length."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from yanlm.evaluation.held_out import HELD_OUT, Row
from yanlm.evaluation.items import Fill, Item, filled
from yanlm.tasks.task import Task, get_task
from yanlm.tokenization.examples import Builder

COUNTED = 5000
"""Number of training rows that the most frequent token is taken from."""

LEARNED = 1000
"""Training rows that baselines learn from whatever the time; they give the first estimate of the pace."""

T = TypeVar("T")


def baseline_fills(
    builder: Builder, items: Sequence[Item], task: str | Task, train: Sequence[Row]
) -> dict[str, list[Fill]]:
    """Fills of every item by each baseline of the task.

    ``copy_source`` writes nothing and ``unigram`` the most frequent training token into every slot (infill, sentence);
    ``length_only`` gives the most frequent training answer of the true answer's length in tokens (qa, classify); the
    rest are the task's own guesses. Without training rows only ``copy_source`` is left.
    """
    task = get_task(task)
    fills: dict[str, list[Fill]] = {}
    if task.copying:
        fills["copy_source"] = [filled(builder, item, [[] for _ in item.truth]) for item in items]
    if not train:
        return fills
    if task.copying:
        token = most_frequent_token(builder, [_written(row[task.written]) for row in train[:COUNTED]])
        fills["unigram"] = [filled(builder, item, [[token] * len(span) for span in item.truth]) for item in items]
    answers = task.guesses(train, [item.row for item in items])
    if task.length_tells:
        answers["length_only"] = _by_length(builder, items, train, task.written)
    for name, texts in answers.items():
        fills[name] = [_guessed(builder, item, text) for item, text in zip(items, texts, strict=True)]
    return fills


def learned_within(seconds: float | None, train: Sequence[Row], learn: Callable[[Sequence[Row]], T]) -> tuple[T, int]:
    """The result of learning from as many training rows as a time allows, and their number.

    It is learned anew from larger and larger random samples, as long as one that is twice as large fits into what is
    left of the time.

    Args:
        seconds: The time; ``None`` for all rows at once.
        train: The training rows.
        learn: Learns from some of them.

    Example:
        >>> learned_within(None, [{"text": "a"}] * 5000, len), learned_within(1e-9, [{"text": "a"}] * 5000, len)
        ((5000, 5000), (1000, 1000))
    """
    if seconds is None or len(train) <= LEARNED:
        return learn(train), len(train)
    end, size = time.perf_counter() + seconds, LEARNED
    while True:
        began = time.perf_counter()
        result = learn([train[i] for i in random.Random(HELD_OUT).sample(range(len(train)), size)])
        now = time.perf_counter()
        room = int(size * (end - now) / max(now - began, 1e-9))
        if size == len(train) or room < 2 * size:
            return result, size
        size = min(len(train), room // 2, 16 * size)  # half: what is learned may cost more than its share


def length_determines(
    builder: Builder, items: Sequence[Item], task: str | Task, train: Sequence[Row]
) -> tuple[bool, float]:
    """Whether known answers differ in length, and the share of items whose answer is the only known one of its length.

    Known answers are those of the training rows and of the items. If lengths are given, a model can read this much off
    the number of slots.
    """
    field = get_task(task).written
    own = [str(item.row[field]).strip() for item in items]
    lengths = {
        answer: _length(builder, answer) for answer in dict.fromkeys([*(row[field].strip() for row in train), *own])
    }
    counts = Counter(lengths.values())
    alone = sum(counts[lengths[answer]] == 1 for answer in own)
    return len(counts) > 1, alone / len(items)


def _length(builder: Builder, answer: str) -> int:
    return len(builder.ids(f" {answer}", ""))


def _by_length(builder: Builder, items: Sequence[Item], train: Sequence[Row], field: str) -> list[str]:
    common = [answer for answer, _ in Counter(row[field].strip() for row in train).most_common()]
    by_length: dict[int, str] = {}
    for answer in common:
        by_length.setdefault(_length(builder, answer), answer)
    return [by_length.get(_length(builder, str(item.row[field]).strip()), common[0]) for item in items]


def _guessed(builder: Builder, item: Item, text: str) -> Fill:
    """A guess as a fill; the words stay as they are, whatever the tokenizer makes of them."""
    fill = filled(builder, item, [builder.ids(f" {text}", ""), *([] for _ in item.truth[1:])])
    return fill._replace(fills=[text])


def _written(target: str | Sequence[str]) -> str:
    return target if isinstance(target, str) else " ".join(target)


def most_frequent_token(builder: Builder, texts: Sequence[str]) -> int:
    """The most frequent token of texts; the padding if there is none."""
    counts = Counter(token for text in texts for token in builder.ids(text))
    return counts.most_common(1)[0][0] if counts else builder.pad
