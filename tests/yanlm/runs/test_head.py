"""What a folder holds before anything is trained, and what a resumed run finds there."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanlm import resolve
from yanlm.runs import head
from yanlm.runs.head import write_head
from yanlm.runs.record import read_record
from yanlm.runs.settings import RunSettings
from yanlm.runs.validation import run_corpus
from yanlm.tokenization.word_tokenizer import train_word_tokenizer

SIZES = {"denoiser": "encoder", "d_model": 16, "num_heads": 2, "encoder_layers": 1}


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    """A run on forty lines."""
    (tmp_path / "rows.txt").write_text("\n".join(f"a small text {i}" for i in range(40)))
    return resolve({"data": [str(tmp_path / "rows.txt")], "tokenizer": "words:60", "steps1": 2, "model": SIZES})


def write(settings: RunSettings, out: Path, resume: bool = False) -> bytes:
    """The head of the run in ``out``; returns its tokenizer."""
    out.mkdir(exist_ok=True)
    write_head(settings, run_corpus(settings, lambda text: None), out, resume, "yanlm train")
    return (out / "tokenizer" / "tokenizer.json").read_bytes()


def test_a_folder_begins_with_settings_and_tokenizer(settings: RunSettings, tmp_path: Path) -> None:
    write(settings, tmp_path / "run")
    record = read_record(tmp_path / "run")
    assert record["command"] == "yanlm train" and len(record["tokenizer"]["sha256"]) == 64
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["run.json", "tokenizer"]


def test_a_lost_tokenizer_is_made_again(settings: RunSettings, tmp_path: Path) -> None:
    before = write(settings, tmp_path / "run")
    file = tmp_path / "run" / "tokenizer" / "tokenizer.json"
    for damage in (lambda: file.unlink(), lambda: file.write_bytes(before[:-9])):
        damage()
        assert write(settings, tmp_path / "run", resume=True) == before


def test_another_tokenizer_is_not_taken_for_it(
    settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(settings, tmp_path / "run")
    (tmp_path / "run" / "tokenizer" / "tokenizer.json").write_text("{}")
    other = train_word_tokenizer(["some other words"], 20)
    monkeypatch.setattr(head, "make_tokenizer", lambda settings, corpus: other)
    with pytest.raises(ValueError, match=r"tokenizer\.json was damaged and cannot be made again"):
        write(settings, tmp_path / "run", resume=True)
