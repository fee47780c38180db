"""Files of users: caps that hold before memory is taken."""

import gzip
import io
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moefm import reading
from moefm.reading import TooLargeError


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), (" 2k ", 2048), ("4G", 2**32), ("1.5GiB", 3 * 2**29), ("1e9", 10**9)]
)
def test_sizes(text: str, size: int) -> None:
    assert reading.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "lots", "1X", "nan", "inf", "1e99", "1 2", "0x10"])
def test_what_is_no_size(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="a size must be a positive number of bytes"):
        reading.parse_bytes(text)
    if text:
        monkeypatch.setenv(reading.VARIABLE, text)
        with pytest.raises(ValueError, match="MOEFM_MAX_BYTES: a size must be"):
            reading.max_bytes()


def test_the_cap(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a" * 1000)
    assert len(reading.read_bytes(path)) == 1000
    monkeypatch.setenv(reading.VARIABLE, "999")
    with pytest.raises(TooLargeError, match=r"holds more than 999 bytes, .* --max-bytes 1K|1998"):
        reading.read_bytes(path)
    with pytest.raises(TooLargeError, match="holds more than 999 bytes"):
        reading.read_stream(io.BytesIO(b"a" * 1000))
    monkeypatch.setenv(reading.VARIABLE, "1000")
    assert len(reading.read_bytes(path)) == len(reading.read_stream(io.BytesIO(b"a" * 1000))) == 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have names on POSIX systems")
def test_a_pipe_that_never_ends(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.VARIABLE, "1M")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pytest.raises(BrokenPipeError), pipe.open("wb", buffering=0) as file:
            while True:
                file.write(b"a" * 65536)

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(TooLargeError):
        reading.read_bytes(pipe)
    writer.join()


class TestGzip:
    def test_members(self) -> None:
        packed = gzip.compress(b"One day.\n") + gzip.compress(b"") * 1000 + gzip.compress(b"Two days.\n") + b"\0" * 600
        assert reading.unpacked(packed) == (b"One day.\nTwo days.\n", "")
        assert reading.unpacked(b"plain") == (b"plain", "")

    def test_breaks(self) -> None:
        packed = gzip.compress(bytes(range(256)) * 40)
        text, fault = reading.unpacked(packed[:-20])
        assert fault.startswith("the gzip file ends early") and (bytes(range(256)) * 40).startswith(text)
        text, fault = reading.unpacked(packed[:20] + b"\xff" * 20 + packed[40:])
        assert fault.startswith("the gzip file is damaged")

    def test_a_bomb_is_counted_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(reading.VARIABLE, "1M")
        bomb = gzip.compress(bytes(1 << 22)) * 100
        assert len(bomb) < 1 << 20
        with pytest.raises(TooLargeError, match="unpacks to more than 1,048,576 bytes"):
            reading.unpacked(bomb)

    @given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
    def test_any_members(self, parts: list[bytes]) -> None:
        assert reading.unpacked(b"".join(map(gzip.compress, parts))) == (b"".join(parts), "")


def test_rows_have_a_cap_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.VARIABLE, "1280")
    reading.check_rows(10)
    with pytest.raises(TooLargeError, match="holds more than 10 lines, the most that are read into memory"):
        reading.check_rows(11, "lines")


def test_what_comes_before_a_break_is_kept_also_where_the_size_is_looked_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = os.urandom(50_000)
    packed = gzip.compress(text)
    monkeypatch.setenv(reading.VARIABLE, "60000")  # so small that the size is counted before anything is kept
    assert reading.unpacked(packed) == (text, "")
    kept, fault = reading.unpacked(packed[:20_000])
    assert fault.startswith("the gzip file ends early") and kept and text.startswith(kept)
    assert reading.unpacked(packed + b"trailing bytes of something else")[0] == text
