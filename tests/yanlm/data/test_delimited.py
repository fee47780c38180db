"""Quotes that are right are read as csv reads them; what a broken one costs is one line, and it is named."""

import csv
import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data.delimited import BEHIND, NEVER_CLOSED, Record, kind, records, typing_of

MARKS = [",", ";", "\t"]
ENDS = ["\n", "\r\n", "\r"]


def table(mark: str, end: str, changed: dict[int, str], header: tuple[str, ...] = ("text", "label")) -> str:
    """A hundred rows, some of them changed; commas stand for the separator."""
    rows = [f"sentence {number} of the file,good" for number in range(100)]
    for number, row in changed.items():
        rows[number] = row
    return end.join(row.replace(",", mark) for row in [",".join(header), *rows]) + end


def split(text: str) -> tuple[list[Record], list[Record]]:
    """Rows and faults."""
    header, *rows = records(text.encode())
    assert not header.fault
    return [row for row in rows if not row.fault], [row for row in rows if row.fault]


BROKEN = [
    {10: '"I never said that,bad'},  # to the end of the file
    {0: '"I never said that,bad'},
    {99: '"I never said that,bad'},
    {10: '"I never said that,bad', 60: 'and that was the end",bad'},  # closes many rows later
    {10: '"I never said that,good', 11: 'and that was the end",good'},  # in the next row
    {10: '"I never said that,bad', 60: '"a cell that is, as it should be, quoted",good'},
    {10: '"I never said that,bad', 60: 'and "that" was the end,bad'},
    {10: 'a cell,"good', 60: 'another,good"'},
    {10: 'a cell,"good', 60: '"another",good'},
    {10: '"I never, said, that,bad', 30: "too,many,commas", 60: 'the end",good'},
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("mark", [",", ";"])
@pytest.mark.parametrize("changed", BROKEN)
def test_a_broken_quote_costs_one_line(changed: dict[int, str], mark: str, end: str) -> None:
    rows, faults = split(table(mark, end, changed))
    ragged = [number for number, row in changed.items() if row == "too,many,commas"]
    assert len(rows) == 99 - len(ragged) and all(row.lines == 1 and len(row.cells) == 2 for row in rows)
    broken = min(changed)
    assert (faults[0].line, faults[0].fault) == (broken + 2, NEVER_CLOSED)
    assert [fault.line for fault in faults[1:]] == [number + 2 for number in ragged]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("changed", [change for change in BROKEN if len(change) < 3])
def test_with_tabs_a_quote_is_text(changed: dict[int, str], end: str) -> None:
    commas = {number: row.replace(", ", " ") for number, row in changed.items()}
    rows, faults = split(table("\t", end, commas))
    assert len(rows) == 100 and not faults
    for number, row in commas.items():
        if row.count('"') == 1:
            assert ",".join(rows[number].cells) == row


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "cell", ["two\nlines", "a\n\nb\n", "one, two\nthree, four, five\nsix", 'he said "no"\n', "Hello, world\nbye"]
)
def test_texts_of_several_lines(cell: str, end: str, mark: str) -> None:
    cell = cell.replace("\n", end)
    quoted = '"' + cell.replace('"', '""') + '"'
    text = table(mark, end, {10: "X,good", 20: "good,X"}).replace("X", quoted)
    rows, faults = split(text)
    assert not faults and len(rows) == 100
    assert rows[10].cells == [cell, "good"] and rows[20].cells == ["good", cell]
    assert rows[11].line == 13 + cell.count(end)


@pytest.mark.parametrize(("row", "fault"), [('"x" y,good', BEHIND), ('"x"y",good', NEVER_CLOSED)])
def test_text_behind_a_quote(row: str, fault: str) -> None:
    rows, faults = split(table(",", "\n", {5: row}))
    assert len(rows) == 99 and faults[0].fault == fault


def test_with_tabs_a_quoted_cell_may_hold_one_if_the_columns_say_so() -> None:
    rows, _ = split('text\tlabel\n"a\tb"\tgood\n"c ""d"""\tbad\n"e" f\tbad\n"g\th\n')
    assert [row.cells for row in rows] == [["a\tb", "good"], ['c "d"', "bad"], ['"e" f', "bad"], ['"g', "h"]]


def test_numbers_of_columns() -> None:
    _, faults = split('a,b\n1\n1,2,3,4\n"1",2,3,4\n')
    said = ["has 1 columns, 2 expected", "has 4 columns, 2 expected", "has at least 3 columns, 2 expected"]
    assert [fault.fault for fault in faults] == said


cells = st.text(st.sampled_from("ab \"\n;,'\u2028"), max_size=12)


@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([",", ";"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_csv_writes_is_read(rows: list[list[str]], quoting: int, mark: str, end: str) -> None:
    sentences = [[cell.replace(mark, f"{mark} ") for cell in row] for row in rows]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, lineterminator=end, quoting=quoting)
    writer.writerows([["x", "y", "z"], *sentences])
    header, *read = records(file.getvalue().encode())
    filled = [[cell.strip() for cell in row] for row in sentences if any(map(str.strip, row))]
    assert [[cell.strip() for cell in record.cells] for record in read] == filled
    assert header.cells == ["x", "y", "z"]


@given(st.text(st.sampled_from('"",;\t\n\rab '), max_size=60), st.sampled_from(MARKS))
def test_no_line_is_lost(body: str, mark: str) -> None:
    """Every line is part of a record, or blank."""
    text = f"text{mark}label\n{body}"
    taken = 0
    for record in records(text.encode()):
        assert record.line > taken
        taken = record.line + record.lines - 1
        assert record.fault or len(record.cells) == 2
    count = 1 + body.count("\n") + body.count("\r") - body.count("\r\n")
    assert taken <= count + 1


def typed(cells: list[str]) -> list[str | float | bool]:
    return list(map(typing_of(Counter(map(kind, cells))), cells))


def test_typed() -> None:
    assert typed(["1.0", "2", "-3.", "2.5", "007"]) == [1.0, "2", -3.0, "2.5", "007"]
    assert typed(["true", "TRUE", "False"]) == [True, True, False]
    assert typed(["nan", "NA"]) == ["nan", "NA"]  # nothing says what they are
    assert typed(["none", "1.0", "a", "b"]) == ["none", "1.0", "a", "b"]
    assert typed([]) == []


@pytest.mark.parametrize("unit", ['"', '"a\n', 'b","c\n', '"\t', 'b"\t"c\n', '"a\n\n', '"a","b\n', '"x,y\n', '"a""\n'])
@pytest.mark.parametrize("header", ["text,label\n", "text\tlabel\n", "text\n", ""])
def test_time_is_linear(unit: str, header: str) -> None:
    """Reading every line anew from its quote to the end would take minutes."""
    assert len(list(records((header + unit * 8_000).encode()))) <= 8_001


def test_lines_of_a_text_that_hold_no_number_where_the_column_does_are_its_own() -> None:
    poem = "the sea,the sky\nthe wind,the rain\nthe road,the end"
    rows = [f"sentence {number},{number}" for number in range(30)]
    good, faults = split("\n".join(["text,score", *rows, f'"{poem}",3', "last,4"]) + "\n")
    assert not faults and [row.cells for row in good[-2:]] == [[poem, "3"], ["last", "4"]]
    good, faults = split(
        "\n".join(["text,score", *rows, '"the sea,1', "the wind,2", "the road,3", 'the end",4']) + "\n"
    )
    assert [row.fault.partition(" (")[0] for row in faults] == [NEVER_CLOSED.partition(" (")[0]]
    assert [row.cells for row in good[30:]] == [["the wind", "2"], ["the road", "3"], ['the end"', "4"]]
