"""Held-out rows and what is masked in them."""

from __future__ import annotations

from typing import Any

from yanlm.evaluation.held_out import masked_positions
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

ROWS = [{"text": "the cat sat on the mat and the dog ran"}, {"text": "the red house near a small river"}]


QUESTIONS = [
    {"context": "Ann is in the hall . Bob is in the attic .", "question": "Where is Ann ?", "answer": "hall"},
    {"context": "Bob is in the attic . Ann is in the hall .", "question": "Where is Ann ?", "answer": "hall"},
]


def test_hidden_positions_of_the_separate_form(tokenizer: Any) -> None:
    options = {"max_length": 48, "masking": Masking(rate=(0.3, 0.3))}
    builds = [Builder(tokenizer, form=form, **options) for form in ("slots", "separate")]
    for seed in range(20):
        slots, separate = (build.example(ROWS[0], seed) for build in builds)
        assert masked_positions(separate, builds[1]) == slots.slots == masked_positions(slots, builds[0])
    answer = builds[1].example(QUESTIONS[0], 0)
    assert masked_positions(answer, builds[1]) == answer.slots
