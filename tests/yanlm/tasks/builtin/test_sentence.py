"""A sentence inside a text."""

from __future__ import annotations

from yanlm.tasks.rows import task_rows
from yanlm.tasks.task import get_task

STORY = "Tom woke late. The sun was high. He ran to school. Nobody was there."


def test_sentence_is_one_from_the_middle() -> None:
    rows = [{"text": f"{STORY} {n}"} for n in range(200)]
    made = task_rows(rows, "sentence")
    assert {row["target"] for row in made} == {"The sun was high.", "He ran to school.", "Nobody was there."}
    for row, given_row in zip(made, rows, strict=True):
        assert row["source"].replace("<mask>", row["target"]) == given_row["text"]
        assert row["source"].startswith("Tom woke late. ") and row["source"].endswith(given_row["text"][-2:])
    assert made == task_rows(rows, "sentence") != task_rows(rows, "sentence", seed=1)
    assert task_rows(rows[50:], "sentence") == made[50:]  # a function of the row alone


def test_sentences() -> None:
    rows = [{"source": "<mask> He woke. It rained.", "target": "The cat, the cat ran and ran!"}]
    rows += [{"source": "<mask>", "target": ["He ran.", "A dog sat."]}]  # of two masks, which a task never has
    found = get_task("sentence").guesses(rows, rows)
    assert found["neighbour"] == ["He woke.", ""]  # nothing before the mask
    assert found["frequent_words"] == ["ran cat and he"] * 2  # the shorter has four words without articles
    assert get_task("sentence").guesses(rows[:1], [{"source": "One. Two. <mask> Four."}])["neighbour"] == ["Two."]
