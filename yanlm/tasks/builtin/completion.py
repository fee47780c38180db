"""``completion``: the last word of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from yanlm.data.rows import MASKS, Row
from yanlm.tasks.definition import Task
from yanlm.tasks.heuristics import around_mask, majority
from yanlm.tasks.making import masked, target_of, text_of
from yanlm.tasks.ngram import NGram, has_words
from yanlm.tasks.sentences import last_word_span


def make_row(row: Row, seed: int) -> Row | None:
    """The text with ``<mask>`` in place of its last word; punctuation after it stays in the source."""
    text = text_of(row, "completion")
    span = last_word_span(text)
    if span is None or MASKS.search(text) or last_word_span(text[: span[0]]) is None:
        return None
    return masked(text, *span)


def guesses(train_rows: Sequence[Mapping[str, Any]], test_rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The most frequent last word, and the likeliest by word n-grams where texts have words of letters or digits."""
    answers = {"majority": majority([row["target"] for row in train_rows], len(test_rows))}
    texts = [row["target"].join(around_mask(row["source"])) for row in train_rows]
    if any(map(has_words, texts)):  # emoji have none
        model = NGram().fit(texts)
        answers["ngram"] = [model.predict(*around_mask(row["source"])) for row in test_rows]
    return answers


TASK = Task(
    name="completion",
    kind="seq2seq",
    make_row=make_row,
    references=target_of,
    metrics=("masked_accuracy", "exact_match"),
    main=("exact_match",),
    columns=("exact_match", "masked_accuracy"),
    stops_on="exact_match",
    left_out="fewer than two words, or <mask> in the text",
    guesses=guesses,
    from_texts=True,
)
