"""``sentence``: a whole sentence inside a text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from yanlm.data.rows import MASKS, Row
from yanlm.tasks.definition import Task
from yanlm.tasks.heuristics import frequent_words, neighbour
from yanlm.tasks.making import masked, target_of, text_of
from yanlm.tasks.sentences import sentence_spans


def make_row(row: Row, seed: int) -> Row | None:
    """A sentence drawn from those between the first and the last, and the text with ``<mask>`` in its place."""
    text = text_of(row, "sentence")
    inner = sentence_spans(text)[1:-1]
    if not inner or MASKS.search(text):
        return None
    draw = hashlib.blake2b(f"{seed}\n{text}".encode(), digest_size=8).digest()
    return masked(text, *inner[int.from_bytes(draw, "big") % len(inner)])


def guesses(train_rows: Sequence[Mapping[str, Any]], test_rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The sentence before the mask, and the most frequent words."""
    words = frequent_words([target_of(row)[0] for row in train_rows])
    return {
        "neighbour": [neighbour(row["source"]) for row in test_rows],
        "frequent_words": [words] * len(test_rows),
    }


TASK = Task(
    name="sentence",
    kind="seq2seq",
    make_row=make_row,
    references=target_of,
    metrics=("masked_accuracy", "exact_match", "f1", "rouge1", "rougeL", "text_rouge1"),
    main=("f1", "rougeL"),
    columns=("f1", "rouge1", "rougeL", "exact_match"),
    stops_on="rougeL",
    left_out="fewer than three sentences, or <mask> in the text",
    copying=True,
    guesses=guesses,
    from_texts=True,
)
