"""The longest span of a training."""

from __future__ import annotations

from typing import Any

import pytest

from yanlm.runs.spans import longest_span
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

TEXT = {"text": "the cat sat on the mat and the dog ran"}
QUESTION = {"context": "Ann is in the hall .", "question": "Where is Ann ?", "answer": "in the hall of the house"}


@pytest.mark.parametrize(
    ("masking", "longest"),
    [(Masking(), 3), (Masking(spans=(1, 7)), 7), (Masking(tail=0.1), 32), (Masking(tail=0.1, tail_max=2), 3)],
)
def test_of_texts_it_is_what_the_masking_may_draw(tokenizer: Any, masking: Masking, longest: int) -> None:
    builder = Builder(tokenizer, max_length=48, masking=masking)
    assert longest_span(builder, [TEXT]) == longest
    assert longest_span(Builder(tokenizer, max_length=2, masking=masking), [TEXT]) == min(longest, 2)


def test_of_answers_it_is_the_longest_answer(tokenizer: Any) -> None:
    builder = Builder(tokenizer, max_length=96)
    answer = len(builder.example(QUESTION, 0).slots)
    assert answer > 3
    assert longest_span(builder, [QUESTION, QUESTION | {"answer": "hall"}]) == answer
    assert longest_span(builder, [TEXT, QUESTION]) == answer
    assert longest_span(builder, []) == 0
