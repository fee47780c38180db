"""Rows: their kinds by their fields, and numbers as JSON writes them."""

import pytest

from yanlm.data.rows import DataError, field, json_type, kind_of, listed, row_of, trained, words, words_of


def test_kinds() -> None:
    assert kind_of({"context": "", "question": "q", "answer": "a"}) == "qa"
    assert kind_of({"source": "s", "target": "t"}) == "seq2seq"
    with pytest.raises(DataError, match="got txt"):
        kind_of({"txt": "a"})
    with pytest.raises(DataError, match=r"fields there: a, b, .*, \.\.\."):
        row_of(dict.fromkeys("abcdefghijklmnop", "x"))


class TestNumbers:
    def test_task_of_a_float_column(self) -> None:
        asked = {"context": "c", "question": "q", "answer": 3.0}
        assert row_of({**asked, "task": 15.0}) == {**asked, "answer": "3", "task": "15"}
        assert "task" not in row_of({**asked, "task": float("nan")})
        assert row_of({**asked, "task": 10**400})["task"] == "1" + 400 * "0"


def test_messages_name_the_fields_of_the_data() -> None:
    for value, fault in ((float("nan"), "is missing"), ([], "is a list"), (" ", "is blank")):
        with pytest.raises(DataError, match=f"^field 'stars' {fault}"):
            row_of({"review": "Dull .", "stars": value}, ("review", "stars"))
    with pytest.raises(DataError, match=r"^field 'body' is blank"):
        row_of({"body": ""}, "body")


@pytest.mark.parametrize(("names", "columns"), [(("source", "target"), None), (("asked", "said"), ("asked", "said"))])
def test_a_target_fills_one_mask(names: tuple[str, str], columns: tuple[str, str] | None) -> None:
    def read(*texts: str) -> dict[str, str]:
        return row_of(dict(zip(names, texts, strict=True)), columns)

    assert read("It is <mask> .", "late") == {"source": "It is <mask> .", "target": "late"}
    with pytest.raises(DataError, match=f"^field '{names[0]}' holds 2 masks, and a target fills one"):
        read("<mask> to <|mask|>", "x")


def test_what_is_trained_on() -> None:
    row = {"context": "c", "question": "q", "answer": "a", "answers": ["a", "b"], "task": "1"}
    assert trained(row) == {"context": "c", "question": "q", "answer": "a"} and words_of(row) == "c q a"
    assert words_of({"source": "<mask> .", "target": ["one", "two"]}) == "<mask> . one two"


def test_fields_of_a_row() -> None:
    assert field({"text": " a "}, "text") == " a " and words({"text": " a "}, "text") == "a"
    assert words({"context": " "}, "context", empty=True) == ""
    with pytest.raises(ValueError, match="'text' is empty; leave the row out"):
        words({"text": " "}, "text")
    with pytest.raises(ValueError, match="'text' must be text, got int 3"):
        field({"text": 3}, "text")


def test_what_messages_name() -> None:
    assert [json_type(value) for value in ("", True, 1.5, [], {}, None)] == [
        "string",
        "boolean",
        "number",
        "list",
        "object",
        "null",
    ]
    assert listed([]) == "none" and listed(["a", "b" * 50]) == f"a, {'b' * 37}..."


def test_a_question_goes_with_context_and_answer_of_other_names() -> None:
    record = {"passage": "Tom slept .", "question": "Who slept ?", "response": "Tom"}
    row = row_of(record, ("passage", "response"))
    assert row == {"source": "Tom slept .", "target": "Tom", "question": "Who slept ?"}
    assert kind_of(row) == "seq2seq" and trained(row).keys() == {"source", "target"}
    assert row_of(record, ("question", "response")) == {"source": "Who slept ?", "target": "Tom"}
    for blank in (None, " ", ["Who slept ?"]):
        assert "question" not in row_of({**record, "question": blank}, ("passage", "response"))
