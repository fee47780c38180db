"""Statements with several right answers, and how they are judged."""

from __future__ import annotations

import hashlib
import json
import random

import pytest

from yanlm.data.builtin.puzzle import completed
from yanlm.data.builtin.rooms import says_true
from yanlm.data.builtin.statements import Lookups, Statements, statement_rows

WORLD = "Mary ran to the attic . John ran to the cellar ."


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("shown", [False, True])
def test_every_statement_is_true_and_masked(split: str, shown: bool) -> None:
    for row in statement_rows(split, 300, shown=shown):
        assert row["source"].count("<mask>") == len(row["target"]) == (1 if shown else 2)
        *world, statement, _ = completed(row["source"], row["target"]).split(" .")
        assert says_true(" .".join(world), statement)


def test_rows_do_not_depend_on_how_many_are_asked() -> None:
    assert statement_rows("test", 20)[:5] == statement_rows("test", 5)
    assert statement_rows("test", 5, seed=1) != statement_rows("test", 5)
    with pytest.raises(ValueError, match="split"):
        statement_rows("dev", 1)


class TestSlots:
    def test_two_slots_are_the_rows_there_always_were(self) -> None:
        assert Statements().rows("test", 50, 3) == statement_rows("test", 50, 3)
        rows = json.dumps([statement_rows("train", 200, 3, shown) for shown in (False, True)])
        assert hashlib.sha256(rows.encode()).hexdigest()[:16] == "43742bef6d982df7"

    def test_statements_are_about_people_drawn_anew(self) -> None:
        for row in statement_rows("test", 100, slots=12):
            assert row["source"].count("<mask> is in the <mask> .") == 6 and len(row["target"]) == 12
        people = [row["target"][::2] for row in statement_rows("test", 100, slots=12)]
        assert any(len(set(named)) < 3 for named in people) and any(len(set(named)) > 3 for named in people)

    def test_what_counts_as_true(self) -> None:
        task = Statements(slots=4)
        assert task.answers(f"{WORLD} Mary is in the attic . John is in the cellar .") == ("Mary", "John")
        assert task.answers(f"{WORLD} Mary is in the attic . Mary is in the attic .") == ("Mary", "Mary")
        assert task.answers(f"{WORLD} Mary is in the . . John is in the cellar .") == (None, "John")
        assert task.answers(f"{WORLD} Ruth is in the attic . John is in the <mask> .") == (None, None)
        assert task.answers("Mary is in the attic .") == (None, None)
        assert task.answers("") == (None, None)

    def test_chances_by_hand(self) -> None:
        world = f"{WORLD} Ruth went to the attic ."
        assert Statements().chances(f"{world} <mask> is in the <mask> .") == pytest.approx([5 / 9])
        assert Statements().choices(f"{world} <mask> is in the <mask> .") == (3,)
        lookups = Lookups(slots=4)
        source = f"{world} Mary is in the <mask> . <mask> is in the attic ."
        assert lookups.choices(source) == (1, 2) and lookups.chances(source) == (1.0, 1.0)
        drawn = {lookups.answers(lookups.draw(source, random.Random(seed))) for seed in range(20)}
        assert drawn == {("Mary", "Mary"), ("Mary", "Ruth")}
