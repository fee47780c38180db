"""Questions and their answers."""

from __future__ import annotations

from yanlm.data.rows import Row
from yanlm.tasks.rows import task_rows

QA: Row = {"context": "c", "question": "q", "answer": "a", "answers": ["a", "b"], "task": "3"}


def test_questions_keep_their_references() -> None:
    assert task_rows([QA], "qa") == [QA]
