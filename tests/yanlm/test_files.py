"""Files appear whole or not at all, with the usual rights; what a terminal would obey is spelled out."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from yanlm.files import (
    check_writable,
    filling,
    pasted,
    printable,
    replacing,
    sha256,
    write_json,
    write_text,
    writing_to,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def fail() -> None:
        with replacing(tmp_path / "a.txt") as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"
    write_json(tmp_path / "a.json", {"letter": "ä"}, ascii=False)
    assert "ä" in (tmp_path / "a.json").read_text(encoding="utf-8") and names(tmp_path) == ["a.json", "a.txt"]


def test_files_of_one_stem_do_not_meet(tmp_path: Path) -> None:
    with replacing(tmp_path / "run.json") as first, replacing(tmp_path / "run.txt") as second:
        first.write_text("{}")
        second.write_text("text")
    assert (tmp_path / "run.json").read_text() == "{}" and (tmp_path / "run.txt").read_text() == "text"


def test_a_folder_is_filled_last_file_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = Path.replace

    def watched(path: Path, target: Path) -> Path:
        moved.append(path.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    with filling(tmp_path / "deep" / "model", last="b.bin") as beside:
        for name in ("a.txt", "b.bin", "c.txt"):
            (beside / name).write_text(name)
    assert moved == ["a.txt", "c.txt", "b.bin"] and names(tmp_path / "deep" / "model") == ["a.txt", "b.bin", "c.txt"]


def test_a_folder_that_fails_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")

    def fail() -> None:
        with filling(tmp_path, last="b.bin") as beside:
            (beside / "a.txt").write_text("new")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="rights are of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_decides_who_may_read(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "model.safetensors") as beside:
            save_file({"a": torch.ones(1)}, beside)
        with filling(tmp_path / "folder", last="w") as beside:
            save_file({"a": torch.ones(1)}, beside / "w")
    finally:
        os.umask(before)
    assert rights(tmp_path / "model.safetensors") == rights(tmp_path / "folder" / "w") == 0o666 & ~mask


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="choose another --out"), writing_to(tmp_path / "file" / "below"):
        pass


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf")


def test_what_a_terminal_obeys_is_spelled_out() -> None:
    odd = "\x1b[31mred\x1b]0;title\x07 \x9b1m back\rover \u202egnorw\u202c \ud800 \x7f a\u2028b"
    assert printable(odd) == (
        "\\x1b[31mred\\x1b]0;title\\x07 \\x9b1m back\\rover \\u202egnorw\\u202c \\ud800 \\x7f a\\u2028b"
    )


def test_letters_lines_and_tabs_stay() -> None:
    text = "caf\u00e9\u00a0\u6771\u4eac \U0001f468\u200d\U0001f469\tnext\nline \\x1b"
    assert printable(text) == text
    assert printable("one\r\ntwo\r\n") == "one\ntwo\n"


@given(st.text(alphabet=st.characters()))
def test_printable_text_can_be_written_and_holds_no_control(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not any(letter < " " and letter not in "\n\t" for letter in shown)
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_an_offered_path_is_one_word_of_a_shell(path: str) -> None:
    assert shlex.split(pasted(path)) == [path]


def test_a_folder_is_checked_and_not_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "not" / "there")
    assert not names(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write to .*: .*file is no folder; choose another --page"):
        check_writable(tmp_path / "file" / "below", "--page")
    with pytest.raises(ValueError, match=r"a name of more than 255 bytes; choose another --out"):
        check_writable(tmp_path / "not" / ("д" * 128))
