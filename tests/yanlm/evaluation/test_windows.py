"""What stands around a mask, and prompts made of it."""

from __future__ import annotations

from typing import Any

import pytest

from yanlm.evaluation.windows import Window, prompt_of, windows
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import decode
from yanlm.tokenization.word_tokenizer import train_word_tokenizer

TEXT = {"text": "the cat sat on the mat and the dog ran"}
QUESTION = {"context": "Ann is in the hall .", "question": "Where is Ann ?", "answer": "hall"}


@pytest.mark.parametrize("form", ["slots", "separate"])
@pytest.mark.parametrize("row", [TEXT, QUESTION], ids=["text", "question"])
def test_windows_are_the_text_around_each_mask(tokenizer: Any, form: str, row: dict[str, str]) -> None:
    builder = Builder(tokenizer, form=form, max_length=96, masking=Masking(rate=(0.3, 0.3)))
    for seed in range(10):
        example = builder.example(row, seed)
        found = windows(builder, example, example.target)
        assert len(found) == len(example.spans)
        for window in found:
            assert window["written"] == window["truth"]
            whole = window["before"] + window["truth"] + window["after"]
            if row is TEXT:
                assert whole.strip() == decode(tokenizer, example.target).strip() == TEXT["text"]
            else:
                assert whole.startswith("Ann is in the hall") and whole.rstrip().endswith("Where is Ann ? hall")


def test_what_was_written_is_told_from_the_truth(builder: Builder) -> None:
    example = builder.example(TEXT, 0)
    wrong = list(example.target)
    for slot in example.slots:
        wrong[slot] = example.target[0]
    for window in windows(builder, example, wrong):
        assert window["written"] != window["truth"] and window["truth"] in TEXT["text"]


def test_the_space_between_whole_words_is_there() -> None:
    """Tokens that are words carry none, and the question mark is no beginning of the word behind it."""
    builder = Builder(train_word_tokenizer([" ".join(QUESTION.values())], 40), max_length=96)
    example = builder.example(QUESTION, 0)
    [window] = windows(builder, example, example.target)
    assert (window["truth"], window["after"]) == (" hall", "")
    assert prompt_of(window).endswith("Where is Ann ? <mask>")


def around(before: str, truth: str, after: str) -> Window:
    return Window(before=before, written="?", truth=truth, after=after)


@pytest.mark.parametrize(
    ("window", "prompt"),
    [
        (around("The cat sat", " on", " the mat."), "cat sat <mask> the mat."),
        (around("ing cat s", "a", "t on the ma"), "cat <mask> on the"),
        (around("Where is Ann ?", " hall", ""), "is Ann ? <mask>"),
        (around("", "The", " cat sat."), "<mask> cat sat."),
        (around("a red \x1b[31m letter", " is", " here \x1b now."), "letter <mask> here"),
        (around("a " + "long " * 40 + "way", " to", " go" * 40), "long " * 11 + "way <mask>" + " go" * 10),
        (around("\u6771\u4eac", "\u306f", "\u5927\u304d\u3044"), "\u6771\u4eac<mask>\u5927\u304d\u3044"),
        (around("\u6771\ufffd\u4eac\ufffd", "\ufffd", "\ufffd\u5927\ufffd\u304d"), "\u4eac<mask>\u5927"),
        (around("a d\ufffdg sat", " on", " the m\ufffd t."), "sat <mask> the"),
    ],
)
def test_a_prompt_is_of_whole_words(window: Window, prompt: str) -> None:
    assert prompt_of(window) == prompt
