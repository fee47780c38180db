"""Every puzzle: rows are right, splits share no source, chance and a perfect writer get what is said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanlm.data.builtin.grids import GridPuzzle
from yanlm.data.builtin.puzzle import Puzzle, completed
from yanlm.data.builtin.puzzles import PUZZLES, puzzle
from yanlm.data.rows import MASKS, DataError, words_of
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode, encode
from yanlm.tokenization.word_tokenizer import train_word_tokenizer

SPECS = [
    *PUZZLES, "codes:vocabulary=64,groups=4", "statements:slots=6", "statements:slots=12", "lookups:slots=12",
    "shuffle:words=3,moved=1", "shuffle:words=6,least=2", "replace:words=6,least=3", "sums:digits=2,open=1",
    "sums:open=1", "latin:givens=0.5", "latin:givens=0", "sudoku:givens=1",
]  # fmt: skip
ALL = [puzzle(spec) for spec in SPECS]
all_puzzles = pytest.mark.parametrize("task", ALL, ids=SPECS)


@all_puzzles
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_rows_are_right(task: Puzzle, split: str) -> None:
    for row in task.rows(split, 50):
        assert len(MASKS.findall(row["source"])) == len(row["target"])
        text = completed(row["source"], row["target"])
        assert task.valid(text) and task.answer_key(text)
        assert task.judge([row["source"]], [[text]])["all"] == 1.0


@all_puzzles
def test_rows_are_the_same_everywhere(task: Puzzle) -> None:
    assert task.rows("test", 20)[:4] == task.rows("test", 4) == task.rows("test", 4)
    assert task.rows("test", 4, seed=1) != task.rows("test", 4)
    with pytest.raises(ValueError, match="split must be"):
        task.rows("dev", 1)


@all_puzzles
def test_no_source_is_in_two_splits(task: Puzzle) -> None:
    def many(source: str) -> bool:  # a square with one given or none is too like others to be in one split alone
        return not isinstance(task, GridPuzzle) or sum(map(bool, task.read(source) or ())) > 1

    train, test = ({row["source"] for row in task.rows(split, n)} for split, n in (("train", 500), ("test", 100)))
    assert task.name == "codes" or not {source for source in train & test if many(source)}


@all_puzzles
def test_a_perfect_writer_is_right_and_as_varied_as_the_data(task: Puzzle) -> None:
    sources = [row["source"] for row in task.rows("test", 40)]
    rng = random.Random(0)
    scores = task.judge(sources, [[task.draw(source, rng) for _ in range(8)] for source in sources])
    assert (scores["valid"], scores["all"], scores["parts"]) == (1.0, 1.0, 1.0)
    assert scores["entropy"] == pytest.approx(1.0, abs=0.08)


@all_puzzles
def test_chance_is_below_one(task: Puzzle) -> None:
    bounds = task.bounds([row["source"] for row in task.rows("test", 30)])
    assert 0 < bounds["all"] <= bounds["parts"] <= 1 and bounds["valid"] in (bounds["all"], bounds["parts"])


@all_puzzles
def test_every_word_is_one_token_and_texts_survive_a_model(task: Puzzle) -> None:
    rows = task.rows("train", 500)
    tokenizer = train_word_tokenizer(map(words_of, rows), int(task.tokenizer.removeprefix("words:")))
    builder = Builder(tokenizer)
    for row in rows[:50]:
        example = builder.example(row, 0)
        assert example.spans == [1] * len(row["target"])  # a slot for every word
        text = decode(tokenizer, example.target)
        assert task.judge([row["source"]], [[text]])["all"] == 1
    assert {len(encode(tokenizer, f" {word}")) for row in rows for word in row["target"]} == {1}


@all_puzzles
@given(text=st.lists(st.sampled_from([*"1 2.:=+", "<mask>", " is in the ", "Mary", "\n", "\0"])).map("".join))
@settings(max_examples=20)
def test_any_text_is_judged(task: Puzzle, text: str) -> None:
    assert task.valid(text) in (True, False)
    assert bool(task.answer_key(text)) == task.valid(text)


def test_specs_are_read_and_written() -> None:
    for task in ALL:
        assert puzzle(task.spec) == task
    assert puzzle("codes") == puzzle("builtin:codes") == puzzle("builtin:codes:groups=2,vocabulary=16")


def test_faults() -> None:
    with pytest.raises(DataError, match=r"builtin:rooms: no such puzzle; there are codes, "):
        puzzle("builtin:rooms")
    with pytest.raises(DataError, match=r"^builtin:codes:: '' is no setting; builtin:codes takes vocabulary"):
        puzzle("builtin:codes:")
