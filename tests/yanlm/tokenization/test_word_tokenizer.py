"""Whole words as tokens: of every built-in task, there and back, from its folder, and no words at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanlm.data.builtin.puzzle import completed
from yanlm.data.builtin.puzzles import PUZZLES, puzzle
from yanlm.data.rows import words_of
from yanlm.tokenization.coverage import coverage_note
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode, encode, load_tokenizer
from yanlm.tokenization.word_tokenizer import train_word_tokenizer


@pytest.mark.parametrize("name", sorted(PUZZLES))
def test_every_word_of_a_task_is_a_token(name: str, tmp_path: Path) -> None:
    task = puzzle(name)
    tokenizer = train_word_tokenizer(map(words_of, task.rows("train", 2000)), 2000)
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert len(again) == len(tokenizer) < 260
    for row in task.rows("test", 20):
        text = completed(row["source"], row["target"])
        ids = encode(again, text)
        assert len(ids) == len(text.split()) and decode(again, ids) == text and tokenizer.unk_token_id not in ids
        example = Builder(again, max_length=256).example(row, 0)
        assert len(example.slots) == len(row["target"])


def test_nothing_of_a_prompt_is_lost() -> None:
    tokenizer = train_word_tokenizer(["1 2 3 ."])
    assert coverage_note(tokenizer, [". 1 <mask> <mask> 2 . <mask> 3"]) is None
    assert "cannot write" in str(coverage_note(tokenizer, ["1 four"]))


def test_rare_words_are_unknown() -> None:
    tokenizer = train_word_tokenizer(["b b a"], vocab_size=4)
    assert encode(tokenizer, "a b") == [tokenizer.unk_token_id, encode(tokenizer, "b")[0]]


def test_masks_are_no_words() -> None:
    assert len(train_word_tokenizer(["a <mask> b <mask>"])) == 5


@pytest.mark.parametrize(("texts", "size", "says"), [([" "], 9, "no word"), (["a"], 3, "vocab_size")])
def test_no_words(texts: list[str], size: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        train_word_tokenizer(texts, size)


def test_a_single_string_is_no_list_of_texts() -> None:
    with pytest.raises(TypeError, match="single string"):
        train_word_tokenizer("the cat")
    with pytest.raises(TypeError, match="got int at position 1"):
        train_word_tokenizer(["a", 3])  # type: ignore[list-item]
