"""Held-out rows: the files beside a training file, or some of its own rows by a hash."""

from pathlib import Path

import pytest
from corpora import fault, load, numbered, write
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data.row_keys import row_key
from yanlm.data.rows import DataError, Row
from yanlm.data.splits import split_rows, training_file


def by_rank(rows: list[Row]) -> list[list[Row]]:
    """What the splits are: rows in the first twentieth of the keys are test rows, in the second validation rows."""
    keys = [row_key(row) for row in rows]
    order = sorted(set(keys))
    shares = [int.from_bytes(key[:8], "big") / 2**64 for key in order]
    test, both = (sum(share < most for share in shares) for most in (0.05, 0.1))
    first = min(max(test, 1), len(order) // 3)
    second = min(max(both, first + 1), first + len(order) // 3)
    parts: list[list[Row]] = [[], [], []]
    for row, key in zip(rows, keys, strict=True):
        rank = order.index(key)
        parts[2 if rank < first else 1 if rank < second else 0].append(row)
    return parts


class TestSplits:
    def test_siblings(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl.gz", numbered(20))
        write(tmp_path / "dev.jsonl.gz", numbered(4, "dev"))
        write(tmp_path / "test.jsonl.gz", [*numbered(3, "test"), {"text": "text number 7"}])
        write(tmp_path / "validation.jsonl", numbered(9, "not this one"))
        corpus, notes = load(path)
        assert [len(part) for part in (corpus.rows or [], corpus.validation, corpus.test)] == [20, 4, 4]
        assert f"{path}: validation rows are those of dev.jsonl.gz (4)" in notes
        assert f"{tmp_path / 'test.jsonl.gz'}: 1 of its 4 rows are training rows too" in notes

    def test_one_sibling(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl", numbered(400))
        write(tmp_path / "test.jsonl", numbered(4, "test"))
        corpus, notes = load(path)
        assert len(corpus.test) == 4 and 5 < len(corpus.validation) < 40
        assert len(corpus.rows or []) + len(corpus.validation) == 400
        assert f"kept {len(corpus.validation)} rows for validation, by a hash" in notes[-1]

    def test_broken_sibling(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl", numbered(20))
        (tmp_path / "test.jsonl").write_text("")
        assert "test.jsonl: is empty" in fault(path)

    @given(st.lists(st.integers(0, 60), min_size=3, max_size=300))
    def test_by_hash(self, numbers: list[int]) -> None:
        rows = [{"text": f"Row {n}" if k % 2 else f"row   {n}"} for k, n in enumerate(numbers)]
        if len(set(numbers)) < 3:
            with pytest.raises(DataError, match=r"x: holds \d different rows?; .* give at least 3"):
                split_rows("x", rows)
            return
        parts = split_rows("x", rows)
        assert sorted(row["text"] for part in parts for row in part) == sorted(row["text"] for row in rows)
        keys = [{row_key(row) for row in part} for part in parts]
        assert all(keys) and not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
        assert split_rows("x", rows[::-1])[2] == parts[2][::-1]
        assert list(parts) == by_rank(rows)

    def test_shares(self) -> None:
        _, validation, test = split_rows("x", numbered(5000))
        assert 200 < len(validation) < 300 and 200 < len(test) < 300
        again = split_rows("x", numbered(5500))
        assert {row["text"] for row in test} <= {row["text"] for row in again[2]}  # more rows move none

    def test_questions_on_one_context_stay_together(self) -> None:
        rows = [{"context": f"c{k % 40}", "question": f"q{k}", "answer": "a"} for k in range(400)]
        contexts = [{row["context"] for row in part} for part in split_rows("x", rows)]
        assert not contexts[0] & contexts[1] and not contexts[0] & contexts[2] and sum(map(len, contexts)) == 40
        parts = split_rows("x", [{**row, "context": "the only one"} for row in rows])
        assert all(parts) and len(parts[0]) > 300

    def test_too_few(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("One line of text.")
        assert "holds 1 different row; training, validation and test need one each: give at least 3" in fault(path)
        path.write_text("a\nb\nc\n")
        assert [len(part) for part in (lambda c: (c.rows, c.validation, c.test))(load(path)[0])] == [1, 1, 1]


def test_a_held_out_file_knows_its_training_file(tmp_path: Path) -> None:
    assert training_file(tmp_path / "dev.jsonl") is None
    train, dev = write(tmp_path / "train.jsonl", numbered(3)), write(tmp_path / "dev.jsonl", numbered(3))
    assert training_file(dev) == (train, "validation")
    assert training_file(train) is None
    write(tmp_path / "valid.jsonl", numbered(3))  # comes first among the names of a validation file
    assert training_file(dev) is None
