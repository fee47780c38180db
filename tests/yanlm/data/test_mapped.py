"""Files that are mapped, and what is asked of them as of bytes."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moefm.reading import TooLargeError
from yanlm.data import mapped
from yanlm.data.mapped import Mapped, read_content, unpacked

MARKS = (b"\n", b"\r", b"\r\n")


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n"]), min_size=1, max_size=20), st.integers(1, 5), st.data())
def test_it_answers_as_bytes_do(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], piece: int, data: st.DataObject
) -> None:
    content = b"".join(parts)
    path = tmp_path_factory.mktemp("t") / "a.txt"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "LARGE", 0)
        patch.setattr(mapped, "_PIECE", piece)
        file = read_content(path)
        assert isinstance(file, Mapped) and file[:] == content
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.none() | st.integers(start, len(content) + 3))
        for mark in MARKS:
            assert file.count(mark, start, stop) == content.count(mark, start, stop)
            assert file.startswith(mark) == content.startswith(mark)
            assert file.removeprefix(mark)[:] == content.removeprefix(mark)


def test_small_files_and_pipes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"One day.")
    assert read_content(tmp_path / "a.txt") == b"One day."
    monkeypatch.setattr(mapped, "LARGE", 0)
    os.mkfifo(tmp_path / "pipe.txt")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe.txt").write_bytes(b"Two days."))
    writer.start()
    assert read_content(tmp_path / "pipe.txt") == b"Two days."
    writer.join()
    monkeypatch.setenv("MOEFM_MAX_BYTES", "5")
    with pytest.raises(TooLargeError, match="holds more than 5 bytes"):
        read_content(tmp_path / "a.txt")


class TestGzip:
    def test_members(self) -> None:
        packed = gzip.compress(b"One day.\n") + gzip.compress(b"") * 1000 + gzip.compress(b"Two days.\n") + b"\0" * 600
        assert unpacked(packed) == (b"One day.\nTwo days.\n", "")
        assert unpacked(b"plain") == (b"plain", "")

    def test_breaks(self) -> None:
        packed = gzip.compress(bytes(range(256)) * 40)
        text, fault = unpacked(packed[:-20])
        assert fault.startswith("the gzip file ends early") and (bytes(range(256)) * 40).startswith(text[:])
        text, fault = unpacked(packed[:20] + b"\xff" * 20 + packed[40:])
        assert fault.startswith("the gzip file is damaged")
        assert unpacked(gzip.compress(b"One day.") + b"trailing bytes of something else")[0] == b"One day."

    def test_a_bomb_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOEFM_MAX_BYTES", "1M")
        bomb = gzip.compress(bytes(1 << 22)) * 100
        assert len(bomb) < 1 << 20
        with pytest.raises(TooLargeError, match="unpacks to more than 1,048,576 bytes"):
            unpacked(bomb)

    @given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.sampled_from([0, 2**20]))
    def test_any_members_in_memory_or_a_file(self, parts: list[bytes], large: int) -> None:
        text = b"".join(parts)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mapped, "LARGE", large)
            content, fault = unpacked(b"".join(map(gzip.compress, parts)))
        assert content[:] == text and not fault
        assert isinstance(content, Mapped) == (len(text) > large)
