"""Lines that end at line ends, separators, and messages that a terminal can show."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moefm import plain_text


@given(st.text(st.sampled_from("ab\n\r\x0b\x0c\x1c\x85\u2028")))
def test_lines(text: str) -> None:
    lines = plain_text.lines(text)
    assert lines == [line.rstrip("\n") for line in io.StringIO(text, newline=None)]
    assert len(lines) == plain_text.line_ends(text) + (text != "" and text[-1] not in "\n\r")
    assert plain_text.line_ends(text.encode()) == plain_text.line_ends(text)


@pytest.mark.parametrize(
    ("text", "mark"),
    [("a,b", ","), ("a", ","), ("", ","), ("\n \n\ta\n", "\t"), ('"a;b",c', ","), ("1,5;2", ";"), ("a\u2028b;c", ";")],
)
def test_separator(text: str, mark: str) -> None:
    assert plain_text.separator(text) == mark


@given(st.text())
def test_messages_are_one_printable_line(text: str) -> None:
    said = plain_text.printable(text)
    assert said.isprintable() and plain_text.printable(said) == said
    said.encode()


def test_what_is_printable_stays() -> None:
    assert plain_text.printable("größe \u4f60 \U0001f600 $x [red]") == "größe \u4f60 \U0001f600 $x [red]"
