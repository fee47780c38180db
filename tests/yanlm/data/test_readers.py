"""Good files give their rows; a broken one gives one line with its name, the fault and the remedy."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from data_files import A, B, fault, gzipped, lines, parquet, texts, zipped
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data import formats, mapped
from yanlm.data.readers import read_rows
from yanlm.data.rows import DataError, Row, printable_line

GOOD: list[tuple[str, bytes, list[Row]]] = [
    ("a.txt", b"One day.\n\nTwo days.\n", [A, B]),
    ("a.txt", b"One day.\nTwo days.\n", [A, B]),
    ("a.txt", b"\n\nOne day.\nTwo days.\n\n\n", [A, B]),
    ("a.txt", b"One\n  day.\n \t\n\nTwo days.", [A, B]),
    ("a.TXT", b"\xef\xbb\xbfOne\r\nday.\r\n\r\nTwo days.\r\n", [A, B]),
    ("a.txt", b"One day.\rTwo days.\r", [A, B]),
    ("a.txt.gz", gzipped(b"One day.\nTwo days."), [A, B]),
    ("a.txt.gz", gzipped(b"One day.\n") + gzipped(b"Two days.\n"), [A, B]),
    ("a.txt.gz", gzipped(b"One day.\nTwo days.\n") + b"\0" * 512, [A, B]),
    ("a.txt", gzipped(b"One day.\nTwo days."), [A, B]),
    ("a.txt.gz", b"One day.\nTwo days.", [A, B]),
    ("stories.v1.jsonl", lines(A, B), [A, B]),
    ("a.jsonl", b"\xef\xbb\xbf" + lines(A, B).replace(b"\n", b"\r\n\r\n"), [A, B]),
    ("a.jsonl.gz", gzipped(lines(A, B)), [A, B]),
    ("a.jsonl", lines({**A, "id": 3, "tags": ["x"]}, {"text": "\n Two days. "}), [A, B]),
    ("a.jsonl", lines({**A, "label": "sad"}, {**B, "label": 3}), [{**A, "label": "sad"}, {**B, "label": "3"}]),
    (
        "a.jsonl",
        lines({"context": "c", "question": "q", "answer": 7, "answers": ["7", "seven"]}),
        [{"context": "c", "question": "q", "answer": "7", "answers": ["7", "seven"]}],
    ),
    (
        "a.jsonl",
        lines(
            {"context": "c", "question": "q", "answers": {"text": ["a ", "", "b", "a"], "answer_start": [1, 2, 3, 4]}},
            {"context": "c", "question": "q", "answers": [1, "one"], "task": 15},
            {"context": "c", "question": "q", "answer": "a", "answers": "a;b", "task": None},
        ),
        [
            {"context": "c", "question": "q", "answer": "a", "answers": ["a", "b"]},
            {"context": "c", "question": "q", "answer": "1", "answers": ["1", "one"], "task": "15"},
            {"context": "c", "question": "q", "answer": "a"},
        ],
    ),
    (
        "a.csv",
        b"context,question,answer,task\nc,q,a,qa1\n",
        [{"context": "c", "question": "q", "answer": "a", "task": "qa1"}],
    ),
    (
        "a.jsonl",
        lines({"context": "", "question": "q", "answer": "a"}),
        [{"context": "", "question": "q", "answer": "a"}],
    ),
    ("a.jsonl", lines({"source": "s", "target": "t", "text": "x"}), [{"source": "s", "target": "t"}]),
    ("a.csv", b"text\nOne day.\nTwo days.\n", [A, B]),
    ("a.csv", b"\xef\xbb\xbfid,text\r\n1,One day.\r\n\r\n2,Two days.\r\n", [A, B]),
    ("a.csv", b'id;text\n1;"One day."\n2;"Two days."', [A, B]),
    ("a.csv", b"text\tlabel\nOne day.\tup\nTwo days.\t4\n", [{**A, "label": "up"}, {**B, "label": "4"}]),
    ("a.csv", b'text,n\n"One, ""two""\nlines",1\n', [{"text": 'One, "two"\nlines'}]),
    ("a.csv", b'text,"a;b"\nOne day.,1\nTwo days.,2\n', [A, B]),
    (
        "a.csv.gz",
        gzipped(b"question,answer,context\nq,a,c\n"),
        [{"context": "c", "question": "q", "answer": "a"}],
    ),
    ("a.csv", b"text\n" + b"x" * 200_000 + b"\n", [{"text": "x" * 200_000}]),
    ("a.jsonl", '{"text": "One day."}\r{"text": "Two\u2028\x85days."}\r'.encode(), [A, {"text": "Two\u2028\x85days."}]),
    ("a.txt", "One\x0c\u2028\x85day.\r\nTwo days.\r".encode(), [{"text": "One\x0c\u2028\x85day."}, B]),
    ("a.txt", "One day.\n\x0c\nTwo days.\n\u2028\n".encode(), [A, B]),
    ("a.csv", "text,label\nOne\u2028 day.,a\x1cb\n".encode(), [{"text": "One\u2028 day.", "label": "a\x1cb"}]),
]


@pytest.mark.parametrize(("name", "content", "rows"), GOOD)
def test_good_files_give_their_rows(tmp_path: Path, name: str, content: bytes, rows: list[Row]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    table = read_rows(path)
    assert (table.rows, table.skipped) == (rows, [])
    assert [note for note in table.notes if "the paragraphs between blank lines" not in note] == []


@pytest.mark.parametrize(("name", "content", "rows"), GOOD)
def test_a_large_file_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, rows: list[Row]
) -> None:
    monkeypatch.setattr(mapped, "LARGE", 0)
    monkeypatch.setattr(mapped, "_PIECE", 3)
    monkeypatch.setattr(formats, "_BLOCK", 5)
    test_good_files_give_their_rows(tmp_path, name, content, rows)


def test_a_column_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"body,text,label\nOne day.,no,up\n")
    assert read_rows(path, "body").rows == [{**A, "label": "up"}]
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines({"body": "One day.", "question": "q"}))
    assert texts(path, "body") == ["One day."]
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet({"body": ["One day."], "other": [1]}))
    assert texts(path, "body") == ["One day."]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), min_size=1))
def test_jsonl_keeps_every_text(tmp_path_factory: pytest.TempPathFactory, written: list[str]) -> None:
    path = tmp_path_factory.mktemp("t") / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in written), newline="")
    assert texts(path) == [text.strip() for text in written]


BROKEN: list[tuple[str, bytes, list[str]]] = [
    ("a.txt", b"", ["is empty (0 bytes)", "at least one text"]),
    ("a.jsonl.gz", b"", ["is empty"]),
    ("a.txt.gz", gzipped(b""), ["is empty (0 bytes once unpacked)"]),
    ("a.txt", b" \n\t\n", ["holds no text, only white space"]),
    ("a.jsonl", b"\n\n", ["holds no text"]),
    ("a.csv", b"text,label\n", ["holds no text", "header"]),
    ("a.txt", b"%PDF-1.7 ...", ["is a PDF by its content", "save its text as a .txt"]),
    ("a.txt", zipped(), ["zip archive", "unpack it"]),
    ("a.jsonl", b"line\nab\0cd\n", ["line 2 holds a zero byte (byte 7)", "binary", "UTF-8"]),
    ("a.txt", "One day.\n".encode("utf-16"), ["is UTF-16", "save it as UTF-8", "iconv"]),
    ("a.txt", "One day.\n".encode("utf-16-le"), ["zero byte"]),
    ("a.txt", "Il était\nune fois\n".encode("latin-1"), ["line 1 is not UTF-8 (byte 3 is 0xe9", "iconv -f latin1"]),
    ("a.csv", "text\nfine\nété\n".encode("latin-1"), ["line 3 is not UTF-8 (byte 10 is 0xe9", "iconv"]),
    ("a.jsonl", b'{"text": "\xe9t\xe9"}\n', ["1 of 1 lines cannot be used", "line 1: not UTF-8 (byte 11", "0xe9"]),
    (
        "a.txt.gz",
        gzipped(b"One day.\nTwo days.\n")[:14],
        ["gzip file ends early", "before its first line", "copy it again"],
    ),
    ("a.jsonl.gz", gzipped(lines(*[A] * 50))[:20] + b"\xff" * 30, ["gzip file", "copy it again"]),
    (
        "a.jsonl",
        b'{"text": "a"}\nx\ny\nz\n',
        ["3 of 4 lines cannot be used", "the first is line 2: not JSON", "correct"],
    ),
    ("a.jsonl", json.dumps([A, B], indent=1).encode(), ["lines cannot be used", "line 1: not JSON"]),
    ("a.jsonl", lines([A, B]), ["line 1: holds a list, not an object"]),
    ("a.jsonl", lines("One day."), ["holds a string, not an object"]),
    ("a.jsonl", lines({"text": 3}), ["field 'text' is a number, not a string"]),
    ("a.jsonl", lines({"text": None}), ["field 'text' is a null"]),
    ("a.jsonl", lines({"text": ["a"]}), ["field 'text' is a list"]),
    ("a.jsonl", lines({"text": " "}), ["field 'text' is blank"]),
    ("a.jsonl", lines({"text": True}), ["field 'text' is a boolean"]),
    ("a.jsonl", lines({"text": float("nan")}), ["field 'text' is missing (nan)"]),
    ("a.txt", lines({"sentence": "a", "label": -1, "idx": 0}), ["holds JSON, an object a line"]),
    ("a.txt", lines({"story": []}), ["holds JSON, an object a line"]),
    ("a.jsonl", lines({"text": "\ud83d"}), ["half of a surrogate pair"]),
    ("a.jsonl", lines({"body": "a", "id": 1}), ["fields there: body, id", "--text-column"]),
    ("a.jsonl", lines({}), ["fields there: none"]),
    ("a.jsonl", lines({"context": "c", "question": "q"}), ["lacks the fields", "fields there: context, question"]),
    ("a.jsonl", lines({"context": "c", "question": "q", "answers": []}), ["field 'answers' holds no answer"]),
    ("a.jsonl", lines({"context": "c", "question": "q", "answers": "a"}), ["field 'answers' is a string, not a list"]),
    ("a.jsonl", lines({"context": "c", "question": "q", "answers": [None]}), ["field 'answers' is a null"]),
    ("a.jsonl", b"[" * 100_000 + b"\n", ["line 1", "nested too deep"]),
    ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}\n", ["line 1", "number too long"]),
    ("a.csv", b"id,body\n1,One day.\n", ["has no columns 'text'", "columns there: id, body", "--text-column"]),
    ("a.csv", b'"id\n1,One day.\n', ["line 1 is not a CSV header"]),
    ("a.csv", b"text\na,b\nc,d\n", ["2 of 2 lines", "line 2: has 2 columns, 1 expected"]),
    ("a.parquet", b"no parquet", ["is damaged or not a parquet file", "save it again"]),
    ("a.parquet.gz", b"PAR1", ["has the extension '.parquet.gz'", "accepted are"]),
    ("a.txt", b"PAR1\x01", ["is a parquet file by its content", "rename"]),
    ("a.txt", lines(A, B), ["holds JSON, an object a line; rename it to .jsonl"]),
    ("a.csv", lines({"text": "a long story " * 90}, B), ["has no columns 'text'", "..."]),
    ("a.docx", b"x", ["has the extension '.docx'", "accepted are .txt, .jsonl, .csv", ".parquet"]),
    ("stories", b"x", ["has no extension", "accepted are"]),
    ("a.gz", b"x", ["has the extension '.gz'"]),
]


@pytest.mark.parametrize(("name", "content", "fragments"), BROKEN)
def test_broken_files_say_what_to_do(tmp_path: Path, name: str, content: bytes, fragments: list[str]) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    message = fault(path)
    for fragment in fragments:
        assert fragment in message
    assert len(message) < 500


@pytest.mark.parametrize(("name", "content", "fragments"), BROKEN)
def test_broken_large_files_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, fragments: list[str]
) -> None:
    monkeypatch.setattr(mapped, "LARGE", 0)
    monkeypatch.setattr(formats, "_BLOCK", 7)
    test_broken_files_say_what_to_do(tmp_path, name, content, fragments)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert fault(tmp_path / "a.jsonl").endswith("does not exist; check the path")
    assert fault(tmp_path / "*.jsonl").endswith("does not exist; patterns are not read: give each file a --data")
    assert "does not exist" in fault(tmp_path / "nowhere")
    assert "does not exist" in fault(tmp_path / f"{'a' * 5000}.txt")
    (tmp_path / "train.csv").write_text("text\n")
    assert f"is a folder; give one file, such as {tmp_path / 'train.csv'}" in fault(tmp_path)
    (tmp_path / "b.txt").mkdir()
    folder = tmp_path / "b.txt"
    assert f"is a folder; give its files with a --data each, or stream hf:{folder}" in fault(folder)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("One day.")

    def refuse(self: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied)" in fault(path)


def test_rows_that_a_quote_would_swallow_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + '"never closed,bad\n' * 60 + "closed,good\n" * 40)
    assert "60 of 100 lines cannot be used, the first is line 2: a quote opened here is never closed" in fault(path)


class TestTerminal:
    """What a file holds cannot steer the terminal that shows a message."""

    def test_names_of_columns(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("\x1b[31mred,$x\n1,2\n")
        assert r"columns there: \x1b[31mred, $x" in fault(tmp_path / "a.csv")
        assert r"no column '\x1b[2J'" in fault(tmp_path / "a.csv", "\x1b[2J")
        (tmp_path / "a.jsonl").write_bytes(lines({"\x1b]0;a\x07": 1, "\u202e": 2}))
        assert r"fields there: \x1b]0;a\x07, \u202e" in fault(tmp_path / "a.jsonl")

    def test_names_of_files(self, tmp_path: Path) -> None:
        path = tmp_path / "\x1b[31m.jsonl"
        path.write_bytes(lines(A, A) + b"oops\n")
        assert "\x1b" not in read_rows(path).skipped[0]


class TestHalfBroken:
    def test_bad_lines_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_bytes(lines(A) + b"oops\n\n" + lines({"text": ""}, B, {"txt": "a"}, A, A) + b'{"text": "\xff"}')
        table = read_rows(path)
        assert table.rows == [A, B, A, A]
        assert [line.removeprefix(f"{path}:").partition(":")[0] for line in table.skipped] == ["2", "4", "6", "9"]
        assert "not JSON" in table.skipped[0] and "not UTF-8" in table.skipped[-1]

    def test_half_is_still_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_bytes(lines(A) + b"oops\n")
        assert len(read_rows(path).rows) == len(read_rows(path).skipped) == 1

    def test_csv(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text('id,text\n1,One day.\n2\n3," "\n\n4,"two\nlines"\n5,"x"y\n6,Two days.\n7,x\n8,"never closed\n')
        table = read_rows(path)
        assert [row["text"] for row in table.rows] == ["One day.", "two\nlines", "Two days.", "x"]
        assert [line.removeprefix(f"{path}:").partition(":")[0] for line in table.skipped] == ["3", "4", "8", "11"]
        assert "a quote opened here is never closed" in table.skipped[-1]

    def test_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        path.write_bytes(
            parquet({"text": ["One day.", None, " ", "Two days.", "x", "y"], "label": [1, 2, 3, 4, None, 5]})
        )
        table = read_rows(path)
        assert table.rows == [{**A, "label": "1"}, {**B, "label": "4"}, {"text": "y", "label": "5"}]
        assert [line.removeprefix(f"{path}:") for line in table.skipped] == [
            "2: field 'text' is a null, not a string",
            "3: field 'text' is blank",
            "5: field 'label' is a null, not a string",
        ]

    @pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz", "a.csv.gz"])
    def test_truncated_gzip(self, tmp_path: Path, name: str) -> None:
        rows = [{"text": f"{number} {hash(number) * 7919 % 104729} green bottles"} for number in range(3000)]
        plain = "".join(f"{row['text']}\n" for row in rows)
        whole = {"a.jsonl.gz": lines(*rows), "a.txt.gz": plain.encode(), "a.csv.gz": f"text\n{plain}".encode()}[name]
        packed = gzip.compress(whole)
        path = tmp_path / name
        path.write_bytes(packed[: len(packed) // 2])
        table = read_rows(path)
        assert 500 < len(table.rows) < 2500 and table.rows == rows[: len(table.rows)] and table.skipped == []
        assert "ends early" in table.notes[0] and "before the break" in table.notes[0]

    def test_damaged_gzip(self, tmp_path: Path) -> None:
        rows = [{"text": f"{number} {number * 7919 % 104729} bottles"} for number in range(3000)]
        packed = bytearray(gzip.compress(lines(*rows)))
        packed[len(packed) // 2 :] = b"\xff" * (len(packed) - len(packed) // 2)
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(packed)
        table = read_rows(path)
        assert len(table.rows) > 500 and table.rows[:500] == rows[:500]
        assert "damaged" in table.notes[0]


CORPUS: list[tuple[str, bytes]] = [
    ("a.txt", b'{"story": []}'),
    ("a.txt", b'{"sentence": "a", "label": -1, "idx": 1}'),
    ("a.csv", b'text,label\n"' + b'""' * 99 + b"\n"),
    ("a.csv", b'"text\n"\n"a\n"\n"'),
    ("a.csv", b'text\tlabel\n"\t"\t"\n"a\nb"\tc\n'),
    ("a.csv", b'text,label\n"a",b\r\r\n"a\rb" ,c\n'),
    ("a.csv", b"label,label,text\n1,nan,a\n"),
    ("a.csv", b"text\xc2\xa0,text\na,b\n"),
    ("a.jsonl", b'{"text": "a", "label": 1e999}\n{"text": "b", "label": -0.0}\n'),
    ("a.jsonl", b'{"context": "a", "question": "b", "answers": [NaN, 1.0]}'),
    ("a.jsonl", b'{"context": "a", "question": "b", "answer": 1, "task": ' + b"9" * 400 + b"}"),
    ("a.txt.gz", gzipped(b"a\rb\rc")[:-9]),
    ("a.txt.gz", gzipped(b"") * 3 + b"\0" * 3 + b"rest"),
    ("a.parquet", b"PAR1" + b"\0" * 8 + b"PAR1"),
]
"""Small files on which readers have failed, or could: from searches at random."""


@pytest.mark.parametrize("columns", [None, "text", ("text", "label")])
@pytest.mark.parametrize(("name", "content"), CORPUS)
def test_odd_files_give_rows_or_one_line(tmp_path: Path, name: str, content: bytes, columns: Any) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    try:
        table = read_rows(path, columns)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and str(error) == printable_line(str(error))
    else:
        assert table.rows and all(line == printable_line(line) for line in [*table.skipped, *table.notes])


@given(st.binary(max_size=300), st.sampled_from([".txt", ".jsonl", ".csv", ".txt.gz", ".parquet"]))
def test_any_bytes_give_rows_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes, end: str) -> None:
    if end == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("t") / f"a{end}"
    for written in (content, gzip.compress(content), b'{"text": "' + content + b'"}\n', b"text\n" + content):
        path.write_bytes(written)
        try:
            assert all(row["text"].strip() for row in read_rows(path).rows)
        except DataError as error:
            assert str(error).startswith(f"{path}: ") and str(error) == printable_line(str(error))


def test_twenty_megabytes_are_read(tmp_path: Path) -> None:
    row = {"text": "It was a dark and stormy night, and nobody came. " * 20}
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*[row] * 20_000), 1))
    assert len(read_rows(path).rows) == 20_000


def test_a_file_broken_off_within_its_first_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzipped(b"One day, and no end of it.\n" * 2)[:-20])
    assert fault(path).endswith("before its first line was over; copy it again")
