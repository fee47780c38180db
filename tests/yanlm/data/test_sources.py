"""What one spec names: a built-in corpus, a file with its siblings, a stream."""

import json
from pathlib import Path
from typing import Any

import pytest
from corpora import fault, load, numbered, write

from yanlm.data.row_keys import row_key


class TestSpecs:
    def test_builtin(self) -> None:
        pydoc, notes = load("builtin:pydoc")
        assert pydoc.kind == "text" and pydoc.rows and pydoc.validation and pydoc.test and notes == []
        rooms, _ = load("builtin:rooms")
        assert rooms.kind == "qa" and rooms.name == "builtin:rooms" and rooms.weights == (1.0,)

    def test_a_path_that_exists_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("builtin:rooms.txt", "notes@0.5.txt", "hf:x.txt"):
            Path(name).write_text("a\nb\nc\n")
            assert load(name)[0].kind == "text"
        Path("paper").write_text("a\nb\nc\n")
        assert (
            fault("paper")
            == "paper: has no extension; accepted are .txt, .jsonl, .csv (each also with .gz) and .parquet"
        )
        Path("builtin:rooms").mkdir()
        assert "is a folder" in fault("builtin:rooms")


class TestNotes:
    def test_skipped_lines_are_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\noops\n" for row in numbered(9)))
        corpus, notes = load(path)
        assert len(corpus.skipped) == 9 and corpus.skipped[0].startswith(f"{path}:2: not JSON")
        told = next(note for note in notes if "skipped" in note)
        assert told.startswith(f"{path}: skipped 9 of 18, by line: 2: not JSON") and told.endswith("; and 6 more")
        assert told.count("not JSON") == 3

    def test_cut_files_are_told(self, tmp_path: Path) -> None:
        rows = [{"text": f"{n} {n * 7919 % 104729}"} for n in range(3000)]
        path = write(tmp_path / "a.jsonl.gz", rows)
        path.write_bytes(path.read_bytes()[:-2000])
        assert "ends early" in load(path)[1][0]


class TestHub:
    def test_stream(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": [*numbered(2500), {"text": " "}, {"text": "text number 7", "extra": 3}]}
        corpus, notes = load("hf:a/b")
        assert corpus.rows is None and corpus.kind == "text" and served["calls"] == [("a/b", None, True)]
        assert (corpus.validation, corpus.test) == (numbered(400)[:200], numbered(400)[200:])
        assert corpus.sources[0].held == {row_key(row) for row in numbered(400)}
        kept = "kept 200 rows for validation, 200 rows for test"
        assert notes == [f"hf:a/b: a stream, shuffled 2,000 rows at a time; {kept}"]
        served["a/c"] = served["a/b"]
        assert load("hf:a/b")[0].fingerprint == corpus.fingerprint != load("hf:a/c")[0].fingerprint

    def test_own_splits(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": numbered(2500), "dev": numbered(700, "dev"), "test": numbered(20, "test")}
        corpus, _ = load("hf:a/b:en")
        assert (corpus.validation, corpus.test) == (numbered(200, "dev"), numbered(20, "test"))
        assert served["calls"] == [("a/b", "en", True)]
        corpus, _ = load("hf:a/b:en:dev")
        assert corpus.sources[0].rows is not None and corpus.rows and len(corpus.rows) > 500

    def test_small_streams_are_read_whole(self, served: dict[str, Any]) -> None:
        served["a/b"] = {"train": numbered(300)}
        corpus, notes = load("hf:a/b:train")
        assert corpus.rows and len(corpus.rows) + len(corpus.validation) + len(corpus.test) == 300
        assert "by a hash" in notes[0]


class TestBuiltin:
    def test_puzzles_with_settings(self) -> None:
        corpus, notes = load("builtin:codes:groups=1,train=30@0.5")
        assert corpus.kind == "seq2seq" and notes == [] and len(corpus.rows or []) == 30
        assert {row["source"] for row in corpus.test} == {". <mask> <mask> <mask> <mask> ."}
        assert len(load("builtin:statements:slots=6")[0].test[0]["target"]) == 6

    @pytest.mark.parametrize(
        ("spec", "told"),
        [
            ("builtin:room", "no such built-in corpus; there are builtin:pydoc, builtin:rooms, builtin:codes, "),
            ("builtin:rooms:slots=2", "builtin:rooms takes no settings; write builtin:rooms"),
            ("builtin:pydoc:a=2@0.5", "builtin:pydoc takes no settings; write builtin:pydoc"),
            (
                "builtin:statements:slot=2",
                "'slot=2' is no setting; builtin:statements takes slots (2 to 24 in steps of 2)",
            ),
            ("builtin:statements:slots=3", "slots must be 2 to 24 in steps of 2, got 3"),
        ],
    )
    def test_faults(self, spec: str, told: str) -> None:
        line = fault(spec)
        assert line.startswith("builtin:") and told in line and "\n" not in line
