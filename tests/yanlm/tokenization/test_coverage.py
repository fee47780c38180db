"""The share of a text that a tokenizer cannot write."""

import pytest
from foreign import foreign_tokenizer

from yanlm.tokenization.coverage import coverage_note, lost_characters


@pytest.mark.parametrize(
    ("kind", "text", "lost"),
    [
        ("bytes", "Zoé saw\t東京 😀\n", ""),
        ("bytes-prefix", "Zoé saw\t東京 😀\n", ""),
        ("byte-fallback", "Zoé saw\t東京 😀\n", ""),
        ("wordpiece", "My AUNT  boat\n", "MAUNT \n"),
        ("metaspace", "The boat é", "é"),
        ("unigram", "The  boat", " "),
    ],
)
def test_lost_characters(kind, text, lost):
    share, characters = lost_characters(foreign_tokenizer(kind), [text] * 3)
    assert sorted(characters.elements()) == sorted(lost * 3)
    assert share == pytest.approx(len(lost) / len(text))
    note = coverage_note(foreign_tokenizer(kind), [text])
    assert (note is None) == (not lost)
    assert not lost or f"{share:.2%}" in note


def test_no_text_is_no_loss():
    assert lost_characters(foreign_tokenizer("wordpiece"), []) == (0, {})
