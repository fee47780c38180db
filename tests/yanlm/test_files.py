"""Text for people: what a terminal would obey is spelled out, everything else stays."""

from hypothesis import given
from hypothesis import strategies as st

from yanlm.files import printable


def test_what_a_terminal_obeys_is_spelled_out():
    odd = "\x1b[31mred\x1b]0;title\x07 \x9b1m back\rover \u202egnorw\u202c \ud800 \x7f a\u2028b"
    assert printable(odd) == (
        "\\x1b[31mred\\x1b]0;title\\x07 \\x9b1m back\\rover \\u202egnorw\\u202c \\ud800 \\x7f a\\u2028b"
    )


def test_letters_lines_and_tabs_stay():
    text = "caf\u00e9\u00a0\u6771\u4eac \U0001f468\u200d\U0001f469\tnext\nline \\x1b"
    assert printable(text) == text
    assert printable("one\r\ntwo\r\n") == "one\ntwo\n"


@given(st.text(alphabet=st.characters()))
def test_printable_text_can_be_written_and_holds_no_control(text):
    shown = printable(text)
    shown.encode()
    assert not any(letter < " " and letter not in "\n\t" for letter in shown)
    assert printable(shown) == shown
