"""Texts of a puzzle, written by a stand-in and judged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from yanlm.data.builtin.codes import Codes
from yanlm.data.rows import words_of
from yanlm.evaluation.held_out import held_out_examples
from yanlm.generation.capabilities import CAPABILITIES
from yanlm.generation.options import GenerationOptions
from yanlm.generation.result import Generation
from yanlm.studies.tools.agreement_texts import judged
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import train_tokenizer

CODES = Codes(vocabulary=8, groups=2)
ROWS = CODES.rows("test", 8)


@pytest.fixture(scope="module")
def builder() -> Builder:
    return Builder(train_tokenizer([words_of(row) for row in CODES.rows("train", 200)], 320), max_length=48)


class Writer:
    """Writes true answers, one row's after the other's, all alike where it is told to, and wrong ones at the end."""

    def __init__(self, builder: Builder, wrong: int, alike: bool = False) -> None:
        prompts = held_out_examples(builder, ROWS)
        self.answers = [[prompt.target[slot] for slot in prompt.slots] for prompt in prompts]
        self.answers = [self.answers[0]] * len(ROWS) if alike else self.answers
        for answer in self.answers[len(ROWS) - wrong :]:
            answer[0] = answer[1] = answer[2]
        self.can, self.device = CAPABILITIES["mdlm"], torch.device("cpu")
        self.config = SimpleNamespace(method="mdlm", d_model=16)

    def generate(self, source_ids: Any, *, slots: Any, options: GenerationOptions, **_: Any) -> Generation:
        tokens = torch.tensor(self.answers).unsqueeze(1).expand(-1, options.samples, -1)
        return Generation(tokens, None, min(options.steps, slots.shape[1]))


def test_true_answers_are_right_and_as_varied_as_the_data(builder: Builder) -> None:
    scores = judged(Writer(builder, wrong=0), builder, CODES, ROWS, steps=3, temperature=1.0, samples=2)
    assert scores.keys() == {"valid", "entropy", "nfe"}
    assert (scores["valid"], scores["nfe"]) == (1.0, 3) and scores["entropy"] > 0.7
    assert judged(Writer(builder, wrong=0), builder, CODES, ROWS, steps=16)["nfe"] == 8, "as many as there are slots"


def test_wrong_groups_are_counted_and_one_answer_has_no_variety(builder: Builder) -> None:
    assert judged(Writer(builder, wrong=2), builder, CODES, ROWS, steps=1)["valid"] == 1 - 2 / 16  # of two groups one
    alike = judged(Writer(builder, wrong=0, alike=True), builder, CODES, ROWS, steps=1)
    assert (alike["valid"], alike["entropy"]) == (1.0, 0.0)
