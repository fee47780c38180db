"""Rows in a store are as rows in a list: one by one, in slices, in splits, in batches, in what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data import readers
from yanlm.data.corpus import Corpus, load_corpus
from yanlm.data.loader import RowStream
from yanlm.data.row_keys import row_key
from yanlm.data.row_store import RowStore, StoredRows, digests, in_memory, kinds_of, picked
from yanlm.data.rows import DataError, Row
from yanlm.runs.settings import resolve
from yanlm.runs.setup import make_tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.one_of(
    st.fixed_dictionaries({"text": TEXTS}),
    st.fixed_dictionaries({"text": TEXTS, "label": TEXTS}),
    st.fixed_dictionaries({"context": TEXTS, "question": TEXTS, "answer": TEXTS, "answers": st.lists(TEXTS)}),
    st.fixed_dictionaries({"source": TEXTS, "target": st.lists(TEXTS)}),
)


@given(st.lists(ROWS, min_size=1, max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_it_holds_what_is_put_in(rows: list[Row], first: int, last: int) -> None:
    stored = RowStore(rows).rows()
    assert len(stored) == len(rows) and list(stored) == rows == in_memory(stored)
    assert [list(row) for row in stored] == [list(row) for row in rows]  # fields in their order
    assert list(stored[first:last]) == rows[first:last] and stored[-1] == rows[-1]
    assert stored.keys() == b"".join(map(row_key, rows))
    assert list(digests(stored)) == list(digests(rows)) and kinds_of(stored) == kinds_of(rows)
    places = np.array([len(rows) - 1, 0])
    assert list(picked(stored, places)) == picked(rows, places) == list(stored[-1:] + stored[:1])
    assert stored[np.argmin([0])] == rows[0]  # type: ignore[call-overload]


def test_rows_may_come_between_looks() -> None:
    store = RowStore()
    for number in range(5):
        store.append({"text": str(number)})
        assert store.rows()[number] == {"text": str(number)}
    with pytest.raises(IndexError):
        store.rows()[5]
    with pytest.raises(ValueError, match="rows of two stores"):
        store.rows() + RowStore([{"text": "a"}]).rows()


def loaded(path: Path, large: int) -> tuple[Corpus, list[str]]:
    notes: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "LARGE", large)
        return load_corpus(str(path), on_note=notes.append), notes


def content(name: str) -> str:
    words = [f"Row {number % 150} of  {'many ' * (number % 7)}" for number in range(400)]
    if name.endswith(".txt"):
        return "\n".join(words)
    if name.endswith(".csv"):
        return "text,label\n" + "".join(f'"{text}",{len(text) % 3}\n' for text in words)
    rows: list[Any] = [{"text": text} for text in words]
    if name.startswith("mixed"):
        rows[::3] = [{"context": text, "question": "?", "answer": "a", "task": "t"} for text in words[::3]]
    return "".join(json.dumps(row) + "\n" + "oops\n" * (place == 7) for place, row in enumerate(rows))


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "mixed.jsonl", "train.jsonl"])
def test_a_large_file_is_read_as_a_small_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(content(name))
    if name == "train.jsonl":
        (tmp_path / "test.jsonl").write_text(content("a.jsonl"))
    (small, said), (large, same) = loaded(path, 10**9), loaded(path, 1000)
    assert isinstance(small.rows, list) and isinstance(large.rows, StoredRows) and said == same
    assert list(large.rows) == small.rows and (large.validation, large.test) == (small.validation, small.test)
    assert (large.fingerprint, large.kind, large.skipped) == (small.fingerprint, small.kind, small.skipped)
    batches = [RowStream(corpus, 8, seed=3, bucket=2) for corpus in (small, large)]
    assert [next(batches[0]) for _ in range(60)] == [next(batches[1]) for _ in range(60)]
    batches[0].load_state_dict(batches[1].state_dict())
    settings = resolve({"minutes": 1, "tokenizer": "bpe:300"})
    assert make_tokenizer(settings, large).get_vocab() == make_tokenizer(settings, small).get_vocab()


def test_few_rows_are_refused_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\na\nb\n")
    for large in (10**9, 0):
        with pytest.raises(DataError, match="holds 2 different rows"):
            loaded(tmp_path / "a.txt", large)
