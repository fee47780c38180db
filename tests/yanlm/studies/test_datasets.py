"""The study of data sets."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.studies.datasets import datasets_study
from yanlm.studies.tools.study import Study

Whole = Callable[[dict[str, Any], Path], bool]


def test_datasets(toys: Path, whole: Whole, tmp_path: Path) -> None:
    folder = tmp_path / "ag_news"
    folder.mkdir()
    (folder / "train.txt").write_text((toys / "own.txt").read_text())
    own, named = str(toys / "own.txt"), str(folder / "train.txt")
    document = datasets_study(Study(tmp_path, "datasets"), [own, named], tokenizer="bpe:300")
    assert whole(document, tmp_path)
    found = document["summary"][own]
    texts = (toys / "own.txt").read_text().split("\n")
    assert found["rows"] == 240
    assert found["words"] == pytest.approx(
        [min(w := [len(text.split()) for text in texts]), statistics.mean(w), max(w)]
    )
    assert found["tokens"][1] >= found["words"][1]
    page = Path(document["files"]["page"]).read_text()
    assert "| AG News, paper | 127.6k | 17 | 43.8 | 162 | 31 | 64.5 | 227 |" in page
    for specs, tokenizer, message in (
        ([], None, "no data"),
        ([own], "bpe:x", "bpe:SIZE"),
        (["no.txt"], None, "no.txt"),
    ):
        with pytest.raises(ValueError, match=message):
            datasets_study(Study(tmp_path / "other", "datasets"), specs, tokenizer=tokenizer)


def test_a_page_of_ones_own(toys: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "sets.md"
    datasets_study(Study(tmp_path, "datasets", page=page), [str(toys / "own.txt")], tokenizer="bpe:300")
    assert "](sets.png)" in page.read_text() and page.with_suffix(".png").is_file()


def test_whole_words_as_tokens(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("a b\nc d e\nf\n" * 20)
    document = datasets_study(Study(tmp_path, "datasets"), [str(tmp_path / "own.txt")], tokenizer="words:20")
    counts = document["summary"][str(tmp_path / "own.txt")]
    assert counts["tokens"] == counts["words"] == [1, 2, 3]


def test_a_file_that_grew_is_counted_again(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    for count in (20, 30):
        own.write_text("a b\nc d e\nf\n" * count)
        document = datasets_study(Study(tmp_path, "datasets"), [str(own)], tokenizer="words:20")
        assert document["summary"][str(own)]["rows"] == 3 * count


def test_names_of_files_are_text(tmp_path: Path) -> None:
    for name in ("$x_$.txt", "_own.txt", "a|b.txt", "red\x1b[31m.txt"):
        (tmp_path / name).write_text("a b\nc d e\nf\n" * 20)
    specs = [str(tmp_path / name) for name in ("$x_$.txt", "_own.txt", "a|b.txt", "red\x1b[31m.txt")]
    document = datasets_study(Study(tmp_path / "out", "datasets"), specs, tokenizer="bpe:260")
    page = Path(document["files"]["page"]).read_text()
    assert (
        "\x1b" not in page and "red\\x1b[31m.txt | 60" in page and "a\\|b.txt | 60" in page and "$x_$.txt | 60" in page
    )
