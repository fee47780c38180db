"""Pieces of rows."""

from __future__ import annotations

import pytest

from yanlm.data.rows import DataError
from yanlm.tasks.making import check_fields, is_pair, masked, target_of, text_of


def test_a_mask_and_its_target_give_the_text_back() -> None:
    text = "Tom slept well ."
    for start in range(len(text)):
        row = masked(text, start, start + 1)
        assert row["source"].replace("<mask>", row["target"]) == text


def test_targets_of_one_and_of_several_masks() -> None:
    assert target_of({"target": " a "}) == ["a"] and target_of({"target": ["a ", " b"]}) == ["a b"]


def test_rows_without_the_fields() -> None:
    assert text_of({"text": "a"}, "mine") == "a"
    with pytest.raises(DataError, match="task mine needs the fields text, the rows have source; give --source"):
        text_of({"source": "a"}, "mine")
    check_fields({"text": "a", "label": "b"}, "mine", "classify")
    with pytest.raises(DataError, match="task mine needs the fields text, label, the rows have text; name them with"):
        check_fields({"text": "a"}, "mine", "classify")
    assert is_pair({"source": "a", "target": "b"}) and not is_pair({"source": "a", "target": ["b"]})
