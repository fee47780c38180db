"""Whatever JSON a request holds, it is read or refused, and never passed over."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.serving.fields import Fields, read_object, refuse_all
from yanlm.serving.refusal import Refusal

LETTERS = "aé\ud800\0😀<"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(LETTERS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS), inner, max_size=3),
    max_leaves=6,
)


@given(document=st.dictionaries(st.sampled_from(["text", "steps", "z", "é"]), values))
def test_any_object_is_read_or_refused(document: dict[str, Any]) -> None:
    fields = Fields(document)
    for read in (
        lambda: fields.texts("text", 4),
        lambda: fields.integer("steps", 1, 1, 9),
        lambda: fields.number("z", 1.0, 0, 9),
        lambda: fields.flag("é"),
        fields.end,
    ):
        with suppress(Refusal):
            read()
    assert not fields.left


@given(body=st.binary(max_size=40))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    try:
        assert read_object(body) == json.loads(body)
    except Refusal as refusal:
        assert refusal.status == 400


def test_values_at_which_an_option_does_nothing_are_taken() -> None:
    refuse_all(Fields({"top_p": 1, "stream": None}), {"top_p": (1,), "stream": ()}, "why")
    with pytest.raises(Refusal, match="top_p is not supported: why"):
        refuse_all(Fields({"top_p": 0.9}), {"top_p": (1,)}, "why")
