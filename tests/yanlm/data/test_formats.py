"""What the formats hold: lines, paragraphs, columns, numbers."""

import builtins
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from data_files import A, fault, lines, parquet
from hypothesis import given
from hypothesis import strategies as st

from yanlm.data import formats
from yanlm.data.readers import read_rows
from yanlm.data.rows import DataError


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("before", ["", "\n"])
def test_lines_end_at_lf_cr_and_both(tmp_path: Path, mark: str, before: str) -> None:
    sentences = [f"This is sentence number {number}." for number in range(100)]
    path = tmp_path / "a.txt"
    halves = ["\n".join(sentences[:50]), "\n".join(sentences[50:])]
    path.write_text(f"{before}{mark}{mark}\n".join(halves) + "\n", encoding="utf-8", newline="")
    table = read_rows(path)
    assert [row["text"].strip() for row in table.rows] == sentences and not table.notes


def test_paragraphs_are_announced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"Sentence {number}.\n" + "\n" * (number == 49) for number in range(100)))
    table = read_rows(path)
    assert len(table.rows) == 2
    said = "its 100 lines are 2 texts, the paragraphs between blank lines; without blank lines each line is a text"
    assert table.notes == [f"{path}: {said}"]
    path.write_text("One.\n\nTwo.\n\nThree.\n")  # nothing joined, nothing to say
    assert len(read_rows(path).rows) == 3 and not read_rows(path).notes


def test_a_single_column_says_where_quotes_keep_lines_together(tmp_path: Path) -> None:
    """There nothing tells a text of several lines from one that swallowed the rows after it."""
    path = tmp_path / "a.csv"
    path.write_text('text\nOne\n"Two\nthree\nfour"\nfive\n')
    table = read_rows(path)
    assert len(table.rows) == 3 and not table.skipped
    assert table.notes == [f"{path}: quotes keep several lines together in 1 text, the longest is that of lines 3 to 5"]


def test_columns_of_source_and_target(tmp_path: Path) -> None:
    pair = ("review", "stars")
    records = [{"id": n, "review": f"Day {n}.", "stars": n, "text": "x", "label": "y"} for n in range(3)]
    expected = [{"source": f"Day {n}.", "target": str(n)} for n in range(3)]
    (tmp_path / "a.jsonl").write_bytes(lines(*records))
    (tmp_path / "a.csv").write_text("review,id,stars\n" + "".join(f"Day {n}.,7,{n}\n" for n in range(3)))
    assert read_rows(tmp_path / "a.jsonl", pair).rows == read_rows(tmp_path / "a.csv", pair).rows == expected
    columns = {name: [record[name] for record in records] for name in records[0]}
    (tmp_path / "a.parquet").write_bytes(parquet(columns))
    assert read_rows(tmp_path / "a.parquet", pair).rows == expected
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        with pytest.raises(DataError, match=r"'rating' .*there: .*stars.*; correct --source-field and --target-field"):
            read_rows(tmp_path / name, ("review", "rating"))
    (tmp_path / "a.txt").write_text("One day.")
    with pytest.raises(DataError, match="plain text without fields; leave out --source-field"):
        read_rows(tmp_path / "a.txt", pair)


def test_wrong_text_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,One day.\n")
    assert "has no column 'body' (columns there: id, text); correct --text-column" in fault(tmp_path / "a.csv", "body")
    (tmp_path / "a.jsonl").write_bytes(lines(A))
    assert "has no field 'body' (fields there: text)" in fault(tmp_path / "a.jsonl", "body")


class TestNumbers:
    """Missing numbers are no classes, whole ones have no point, booleans are the words of JSON."""

    FILES = (
        ("a.jsonl", b'{"text": "a", "label": 1.0}\n{"text": "b", "label": 0}\n{"text": "c", "label": 2.50}\n'),
        ("a.csv", b"text,label\na,1.0\nb,0\nc,2.5\n"),
    )

    @pytest.mark.parametrize(("name", "content"), FILES)
    def test_whole(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        assert [row["label"] for row in read_rows(tmp_path / name).rows] == ["1", "0", "2.5"]

    @pytest.mark.parametrize("missing", ["NaN", "Infinity", "-Infinity", "null", "1e999"])
    def test_missing_in_json(self, tmp_path: Path, missing: str) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": ' + missing + "}\n")
        table = read_rows(path)
        assert [row["label"] for row in table.rows] == ["1"]
        assert len(table.skipped) == 1 and "2: field 'label' is " in table.skipped[0]

    @pytest.mark.parametrize("missing", ["", "nan", "NaN", "NA", "null", "None", "inf", "-Infinity", "<NA>", "N/A"])
    @pytest.mark.parametrize("mark", [",", "\t", ";"])
    def test_missing_in_csv(self, tmp_path: Path, missing: str, mark: str) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"text{mark}label\na{mark}1.0\nb{mark}{missing}\nc{mark}0.0\nd{mark}-3.\n")
        table = read_rows(path)
        assert [row["label"] for row in table.rows] == ["1", "0", "-3"]
        assert len(table.skipped) == 1 and ":3: field 'label' is " in table.skipped[0]
        path.write_text(f"review{mark}stars\na{mark}1.0\nb{mark}{missing}\nc{mark}0.0\n")
        assert [row["target"] for row in read_rows(path, ("review", "stars")).rows] == ["1", "0"]

    def test_words_in_csv_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("text,label\na,none\nb,some\nc,1.0\nd,007\n")
        assert [row["label"] for row in read_rows(path).rows] == ["none", "some", "1.0", "007"]

    def test_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        path.write_bytes(parquet({"text": ["a", "b", "c"], "label": [1.0, None, float("nan")]}))
        with pytest.raises(DataError, match=r"2 of 3 rows .* row 2: field 'label' is a null"):
            read_rows(path)
        path.write_bytes(parquet({"text": ["a", "b", "c"], "label": [1.0, 0.0, float("nan")]}))
        table = read_rows(path)
        assert [row["label"] for row in table.rows] == ["1", "0"]
        assert table.skipped == [f"{path}:3: field 'label' is missing (nan)"]

    def test_booleans(self, tmp_path: Path) -> None:
        rows = [{"text": "a", "label": "true"}, {"text": "b", "label": "false"}]
        (tmp_path / "a.jsonl").write_bytes(lines({"text": "a", "label": True}, {"text": "b", "label": False}))
        (tmp_path / "a.csv").write_text("text,label\na,True\nb,FALSE\n")
        (tmp_path / "a.parquet").write_bytes(parquet({"text": ["a", "b"], "label": [True, False]}))
        for name in ("a.jsonl", "a.csv", "a.parquet"):
            assert read_rows(tmp_path / name).rows == rows


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    for module in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, module)
    load = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "needs pyarrow to be read; pip install " in fault(path)


BREAKS = r"\x0b\x0c\x1c-\x1f\x85\u2028\u2029"
BLANK = re.compile(rf"(?:\n|\r(?!\n))[^\S\r\n{BREAKS}]*+[\r\n]")
"""A blank line, which parts paragraphs where it stands between two texts."""


@given(st.lists(st.sampled_from(["a", "b", "\n", "\n", "\r", "\r\n", " ", "\t", "\x0c", "\u2028", "é"]), max_size=30))
def test_lines_or_paragraphs_in_blocks_of_any_size(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    text = "".join(parts)
    if not text.strip():
        return
    path = tmp_path_factory.mktemp("t") / "a.txt"
    path.write_bytes(text.encode())
    whole = read_rows(path)
    bare = text.strip()
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
    assert (len(whole.rows) < len([line for line in lines if line])) <= (BLANK.search(bare) is not None)
    if BLANK.search(bare) is None:
        assert [row["text"] for row in whole.rows] == [line for line in lines if line]
    assert " ".join(row["text"] for row in whole.rows) == " ".join(line for line in lines if line)
    for block in (1, 2, 3, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(formats, "_BLOCK", block)
            assert read_rows(path) == whole


@pytest.mark.parametrize("block", [1, 2, 5, 64])
def test_a_byte_that_is_no_text_is_named_in_any_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(formats, "_BLOCK", block)
    (tmp_path / "a.txt").write_bytes(b"One day.\r\nTwo\rthree \xe9 four\nfive")
    with pytest.raises(DataError, match=r"line 3 is not UTF-8 \(byte 20 is 0xe9, Latin-1 perhaps\)"):
        read_rows(tmp_path / "a.txt")
