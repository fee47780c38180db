"""Hashes of rows."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from yanlm.data.row_keys import KEY_BYTES, canonical, row_key, text_hash
from yanlm.data.rows import trained

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_canonical_rows_are_json_as_ever(text: str) -> None:
    for row in ({"text": text}, {"text": text, "label": "a"}, {"source": text, "target": [text, "b"]}):
        assert canonical(row) == json.dumps(trained(row), ensure_ascii=False, sort_keys=True)


def test_keys_are_of_the_text_alone() -> None:
    asked = [{"context": "Tom slept.", "question": question, "answer": "Tom"} for question in ("Who?", "Who slept?")]
    assert row_key(asked[0]) == row_key(asked[1]) == text_hash("tom  SLEPT.") and len(row_key(asked[0])) == KEY_BYTES
    assert row_key({"context": "", "question": "Who?", "answer": "Tom"}) == text_hash("who?")
