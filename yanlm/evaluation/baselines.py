"""What needs no trained network, as fills of the same items: copying, guessing, and what a given length tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from yanlm.evaluation.items import ANSWERED, Fill, Item, Row, filled
from yanlm.tasks.heuristics import guesses, joined_target
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import encode

COUNTED = 5000
"""Training rows that the most frequent token is taken from."""


def baseline_fills(builder: Builder, made: Sequence[Item], task: str, train: Sequence[Row]) -> dict[str, list[Fill]]:
    """Fills of every item by each baseline of the task.

    ``copy_source`` writes nothing and ``unigram`` the most frequent training token into every slot (infill, sentence);
    ``length_only`` gives the most frequent training answer of the true answer's length in tokens (qa, classify); the
    rest are those of :func:`yanlm.tasks.heuristics.guesses`. Without training rows only ``copy_source`` is left.
    """
    found: dict[str, list[Fill]] = {}
    if task in ("infill", "sentence"):
        found["copy_source"] = [filled(builder, item, [[] for _ in item.truth]) for item in made]
    if not train:
        return found
    if task in ("infill", "sentence"):
        token = _most_frequent(builder, task, train)
        found["unigram"] = [filled(builder, item, [[token] * len(span) for span in item.truth]) for item in made]
    texts = guesses(task, train, [item.row for item in made])
    if task in ANSWERED:
        texts["length_only"] = _by_length(builder, made, train, ANSWERED[task])
    for name, answers in texts.items():
        found[name] = [_guessed(builder, item, text) for item, text in zip(made, answers, strict=True)]
    return found


def length_determines(builder: Builder, made: Sequence[Item], task: str, train: Sequence[Row]) -> tuple[bool, float]:
    """Whether known answers differ in length, and the share of items whose answer is the only known one of its length.

    Known are the answers of the training rows and of the items. Where lengths are given, this much a model may read off
    the number of slots alone.
    """
    answers = dict.fromkeys([*(row[ANSWERED[task]].strip() for row in train), *(_answer(item, task) for item in made)])
    lengths = {answer: _length(builder, answer) for answer in answers}
    counts = Counter(lengths.values())
    alone = sum(counts[lengths[_answer(item, task)]] == 1 for item in made)
    return len(counts) > 1, alone / len(made)


def _answer(item: Item, task: str) -> str:
    return str(item.row[ANSWERED[task]]).strip()


def _length(builder: Builder, answer: str) -> int:
    return len(encode(builder.tokenizer, f" {answer}"))


def _by_length(builder: Builder, made: Sequence[Item], train: Sequence[Row], field: str) -> list[str]:
    common = Counter(row[field].strip() for row in train).most_common()
    best: dict[int, str] = {}
    for answer, _ in common:
        best.setdefault(_length(builder, answer), answer)
    return [best.get(_length(builder, str(item.row[field]).strip()), common[0][0]) for item in made]


def _guessed(builder: Builder, item: Item, text: str) -> Fill:
    """A guess as a fill; the words stay as they are, whatever the tokenizer makes of them."""
    one = filled(builder, item, [encode(builder.tokenizer, f" {text}"), *([] for _ in item.truth[1:])])
    return one._replace(fills=[text])


def _most_frequent(builder: Builder, task: str, train: Sequence[Row]) -> int:
    field = "text" if task == "infill" else "target"
    texts = [joined_target(row[field]) for row in train[:COUNTED]]
    counts = Counter(token for text in texts for token in encode(builder.tokenizer, text))
    return counts.most_common(1)[0][0] if counts else builder.pad
