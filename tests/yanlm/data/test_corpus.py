"""Corpora of one spec or several: weights, kinds, fingerprints and fields of other names."""

from pathlib import Path

import pytest
from corpora import fault, load, numbered, write


class TestMixtures:
    def test_weights(self, tmp_path: Path) -> None:
        a, b = write(tmp_path / "a.jsonl", numbered(300, "a")), write(tmp_path / "b.jsonl", numbered(100, "b"))
        by_size, notes = load(a, b)
        sizes = [len(source.rows or []) for source in by_size.sources]
        assert by_size.weights == tuple(size / sum(sizes) for size in sizes)
        assert any(note.startswith("rows are drawn from") for note in notes)
        assert load(f"{a}@3", f"{b}@1")[0].weights == load(a, b, weights=[0.75, 0.25])[0].weights == (0.75, 0.25)
        assert by_size.rows and len(by_size.rows) == sum(sizes)
        assert len(by_size.validation) == sum(len(source.validation) for source in by_size.sources)

    def test_kinds(self, tmp_path: Path) -> None:
        a = write(tmp_path / "a.jsonl", numbered(30))
        b = write(tmp_path / "b.jsonl", [{**row, "label": "x"} for row in numbered(30)])
        c = write(tmp_path / "c.jsonl", [{"source": row["text"], "target": "t"} for row in numbered(30)])
        assert [load(path)[0].kind for path in (a, b, c)] == ["text", "classify", "seq2seq"]
        assert load(a, b)[0].kind == "mixed"

    def test_fingerprint(self, tmp_path: Path) -> None:
        a = write(tmp_path / "a.jsonl", numbered(30))
        b = write(tmp_path / "b.jsonl.gz", numbered(30))
        c = write(tmp_path / "c.jsonl", numbered(31))
        prints = [load(path)[0].fingerprint for path in (a, b, c)]
        assert prints[0] == prints[1] != prints[2] and len(prints[0]) == 64
        assert load(f"{a}@1", f"{c}@1")[0].fingerprint != load(f"{a}@1", f"{c}@2")[0].fingerprint

    def test_the_fingerprint_is_computed_when_asked_for_and_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from yanlm.data import corpus as module

        computed, original = [], module._fingerprint
        monkeypatch.setattr(module, "_fingerprint", lambda *given: computed.append(1) or original(*given))
        corpus = load(write(tmp_path / "a.jsonl", numbered(30)))[0]
        assert not computed
        assert corpus.fingerprint == corpus.fingerprint and len(computed) == 1

    def test_references_are_for_evaluation_alone(self, tmp_path: Path) -> None:
        rows = [{"context": f"c{n}", "question": "q", "answer": "a"} for n in range(30)]
        known = [{**row, "answers": ["b", "a"], "task": 1} for row in rows]
        a, b = write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", known)
        plain, more = load(a)[0], load(b)[0]
        assert more.test == [{**row, "answers": ["a", "b"], "task": "1"} for row in plain.test]
        assert more.fingerprint == plain.fingerprint and more.kind == "qa"
        write(tmp_path / "train.jsonl", known)
        write(tmp_path / "test.jsonl", rows[:4])
        assert any("4 of its 4 rows are training rows too" in note for note in load(tmp_path / "train.jsonl")[1])

    def test_fields_of_other_names(self, tmp_path: Path) -> None:
        a = write(tmp_path / "a.jsonl", [{"body": row["text"], "tag": "t"} for row in numbered(30)])
        assert load(a, source_field="body")[0].rows == load(a, text_column="body")[0].rows
        assert load(a, source_field="body", target_field="tag")[0].kind == "seq2seq"
        assert load(a, text_column="body", target_field="tag")[0].kind == "seq2seq"
        assert "has no field 'no' (fields there: body, tag)" in fault(a, source_field="body", target_field="no")
        assert "give --source-field as well" in fault(a, target_field="tag")
        assert "give one of --text-column and --source-field" in fault(a, source_field="body", text_column="body")
        assert "--target-field must name another field" in fault(a, source_field="body", target_field="body")
