"""The last word of a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yanlm.data.rows import DataError
from yanlm.tasks.builtin.completion import guesses
from yanlm.tasks.rows import task_rows
from yanlm.tasks.task import get_task

ROWS = [{"source": "The cat sat on the <mask>.", "target": "mat"}]


@given(st.text(alphabet="ab .!?'\"\n<mask>é") | st.text())
def test_completion_gives_the_text_back(text: str) -> None:
    try:
        (row,) = task_rows([{"text": text}], "completion")
    except DataError:
        return
    assert row["source"].replace("<mask>", row["target"]) == text
    assert row["source"].count("<mask>") == 1 and row["target"] and len(row["target"].split()) == 1


def test_completions() -> None:
    rows = ROWS + [{"source": r"I saw <mask>!", "target": r"\1"}] * 2  # no pattern of re
    found = get_task("completion").guesses(rows, ROWS)
    assert found == {"majority": [r"\1"], "ngram": ["mat"]}


def test_texts_without_words_have_no_n_gram_model() -> None:
    rows = [{"source": "😀 <mask>", "target": face} for face in ("😃", "😄", "😃")]
    assert guesses(rows, rows[:1]) == {"majority": ["😃"]}
