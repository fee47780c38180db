"""Specs and their weights: what is accepted, and what the message says otherwise."""

from pathlib import Path
from typing import Any

import pytest
from corpora import fault, load, numbered, write

from yanlm.data import hub
from yanlm.data.specs import absolute_spec


class TestSpecs:
    def test_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        write(tmp_path / "a.jsonl", numbered(5))
        assert load("~/a.jsonl@2")[0].rows

    @pytest.mark.parametrize(
        ("specs", "options", "fragments"),
        [
            ([], {}, ["no data named", "builtin:rooms"]),
            (
                ["builtin:books"],
                {},
                [
                    "builtin:books: no such built-in",
                    "builtin:rooms, builtin:codes, builtin:statements, builtin:lookups",
                ],
            ),
            (["rooms"], {}, ["rooms: no such file", "builtin:rooms", "hf:NAME"]),
            (["a.jsonl"], {}, ["a.jsonl: does not exist"]),
            (["hf:"], {}, ["write hf:NAME"]),
            (["hf:a:b:c:d"], {}, ["write hf:NAME"]),
            (["builtin:rooms@much"], {}, ["'much' is no weight", "SPEC@0.75"]),
            (["builtin:rooms@"], {}, ["'' is no weight"]),
            (["builtin:rooms@0"], {}, ["weight must be a positive number, got 0"]),
            (["builtin:rooms@-1"], {}, ["positive"]),
            (["builtin:rooms@nan"], {}, ["positive", "nan"]),
            (["builtin:rooms@inf"], {}, ["positive"]),
            (["builtin:rooms@1", "builtin:pydoc"], {}, ["builtin:pydoc: has no weight", "builtin:pydoc@WEIGHT"]),
            (["builtin:rooms"], {"weights": [1, 2]}, ["one for each of the 1 specs, got 2"]),
            (["builtin:rooms@1"], {"weights": [1]}, ["given twice"]),
        ],
    )
    def test_errors(self, specs: list[str], options: dict[str, Any], fragments: list[str]) -> None:
        message = fault(*specs, **options)
        for fragment in fragments:
            assert fragment in message


class TestHub:
    def test_paper(self, served: dict[str, Any]) -> None:
        for name, _, _ in hub.PAPER:
            served[name] = {"train": numbered(2100, name)}
        corpus, notes = load("paper")
        assert corpus.weights == (0.75, 0.25) and corpus.rows is None
        assert [call[:2] for call in served["calls"]] == [
            ("HuggingFaceFW/finewiki", "en"),
            ("HuggingFaceFW/fineweb-edu", "sample-10BT"),
        ]
        assert "finewiki:en 0.75, hf:HuggingFaceFW/fineweb-edu:sample-10BT 0.25" in notes[-1]
        mixed, _ = load("paper@3", "builtin:pydoc@1")
        assert mixed.weights == (0.5625, 0.1875, 0.25)


def test_absolute_specs_name_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.jsonl", numbered(3))
    assert absolute_spec("a.jsonl@2") == f"{path}@2" and absolute_spec("a.jsonl") == str(path)
    assert absolute_spec("b.jsonl@2") == "b.jsonl@2" and absolute_spec("hf:a/b:en") == "hf:a/b:en"
    assert absolute_spec(str(write(tmp_path / "a@2.jsonl", numbered(3)))) == str(tmp_path / "a@2.jsonl")
