"""Texts that tokenizers are trained on."""

from __future__ import annotations

from typing import Any

import pytest

from yanlm.tokenization.texts import checked_texts, well_formed


def test_halves_of_surrogate_pairs() -> None:
    assert list(checked_texts(["a", "\ud83d\ude00", "b\ud83d"])) == ["a", "\U0001f600", "b\ufffd"]
    assert well_formed("déjà vu") == "déjà vu"


@pytest.mark.parametrize(("texts", "says"), [("a b", "single string"), (b"a", "single"), (["a", 3], "position 1")])
def test_what_is_no_list_of_strings(texts: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        list(checked_texts(texts))
