"""Statements with several right answers, and how they are judged."""

from __future__ import annotations

import pytest

from yanlm.data.builtin.rooms import locations, says_true
from yanlm.data.builtin.statements import judge, parted, statement_rows

WORLD = "Mary ran to the attic . John ran to the cellar ."


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("shown", [False, True])
def test_every_statement_is_true_and_masked(split: str, shown: bool) -> None:
    for row in statement_rows(split, 300, shown=shown):
        text = row["source"]
        assert text.count("<mask>") == len(row["target"]) == (1 if shown else 2)
        for word in row["target"]:
            text = text.replace("<mask>", word, 1)
        context, statement = parted(text)
        assert says_true(context, statement)


def test_rows_do_not_depend_on_how_many_are_asked() -> None:
    assert statement_rows("test", 20)[:5] == statement_rows("test", 5)
    assert statement_rows("test", 5, seed=1) != statement_rows("test", 5)
    with pytest.raises(ValueError, match="split"):
        statement_rows("dev", 1)


def test_judging_by_hand() -> None:
    def said(*words: tuple[str, str]) -> list[str]:
        return [f"{WORLD} {who} is in the {room} ." for who, room in words]

    right, wrong, other = ("Mary", "attic"), ("Mary", "cellar"), ("John", "cellar")
    assert judge([said(right, wrong)])["valid"] == 0.5
    always = judge([said(right, right, right, right)])
    assert always == {"valid": 1.0, "people": 0.5, "entropy": 0.0}
    assert judge([said(right, other, right, other)]) == {"valid": 1.0, "people": 1.0, "entropy": 1.0}
    assert judge([["nothing that can be read ."]])["valid"] == 0.0
    assert judge([said(right, wrong), said(wrong, wrong)])["valid"] == 0.25
    assert judge([])["valid"] == 0.0


def test_what_a_text_says() -> None:
    assert locations(parted(f"{WORLD} Mary is in the attic .")[0]) == {"Mary": "attic", "John": "cellar"}
    assert parted("") == ("", "")
