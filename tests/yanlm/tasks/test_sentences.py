"""Sentences and last words are spans of the text itself."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.tasks.sentences import _END, last_word_span, sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def last_word(text: str) -> str | None:
    span = last_word_span(text)
    return None if span is None else text[slice(*span)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ...  ", []),
        ("No end", ["No end"]),
        ("One day. Two days!  Three? ", ["One day.", "Two days!", "Three?"]),
        ("He left.\nShe stayed.\n\nThe end", ["He left.", "She stayed.", "The end"]),
        ('"Go!" he said. "Why?" She went.', ['"Go!" he said.', '"Why?"', "She went."]),
        ("“Stop.” ‘Now!’ (He did.) So", ["“Stop.”", "‘Now!’", "(He did.)", "So"]),
        (
            "Mr. Fox met Dr. A. Bear at 3.15 p.m. on Sunday. Fine.",
            ["Mr. Fox met Dr. A. Bear at 3.15 p.m. on Sunday.", "Fine."],
        ),
        ("Wait... what? Yes!! No?! Oh.", ["Wait... what?", "Yes!!", "No?!", "Oh."]),
        ("the film is bad . it is long . so be it .", ["the film is bad .", "it is long .", "so be it ."]),
        ("The cat sat . The dog ran .", ["The cat sat .", "The dog ran ."]),
        ("猫坐着。狗跑了！真的？", ["猫坐着。", "狗跑了！", "真的？"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="aB .!?'\"\n(é)"))
def test_sentences_cover_every_letter_once_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))
    assert [c for c in text if c.isalnum()] == [c for s, e in spans for c in text[s:e] if c.isalnum()]
    assert all(text[s:e] == text[s:e].strip() for s, e in spans)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("... !", None),
        ("word", "word"),
        ("The cat sat on the mat.", "mat"),
        ('He said: "No way!"', "way"),
        ("tokenised text .", "text"),
        ("the dogs' (old) well-known\n", "well-known"),
        ('It was "Zeus".', "Zeus"),
        ("don't", "don't"),
        ("at 50% . . .", "50%"),
    ],
)
def test_last_word(text: str, expected: str | None) -> None:
    assert last_word(text) == expected


@given(st.text(alphabet="aB .!?…'\"”»)]}。！？』\n", max_size=40))
def test_ends_are_those_of_the_plain_expression(text: str) -> None:
    plain = r"[.!?…]+[\"'”’)\]}»]*(?=\s)|[。！？][”』」]*"  # which reads a run of marks again from each of them
    assert [end.span() for end in _END.finditer(text)] == [end.span() for end in re.finditer(plain, text)]


@pytest.mark.parametrize("unit", [".", "…", '."', '"', ". ", "?!)", "。", "Mr. ", "\n"])
@pytest.mark.parametrize("end", ["", "x", " It was late. Nobody came."])
def test_runs_of_marks_take_no_time(unit: str, end: str) -> None:
    text = "Chapter 1 " + unit * (100_000 // len(unit)) + end
    assert sum(text[slice(*span)].count("Chapter") for span in sentence_spans(text)) == 1
    assert sentences(text)[-1].endswith(end.rpartition(". ")[2] or "1" if end else "")
    assert last_word_span(text) is not None


def test_long_texts_take_no_time() -> None:
    assert len(sentence_spans("A b. " * 20_000)) == 20_000
    assert last_word("." * 200_000) is None and last_word("x" * 200_000 + "!" * 200_000) == "x" * 200_000
