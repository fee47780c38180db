"""Files of users: caps that hold before memory is taken."""

import gzip
import io
import os
import threading

import pytest

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


def test_pieces_of_gzip() -> None:
    packed = gzip.compress(b"One day.\n") + gzip.compress(b"") * 1000 + gzip.compress(b"Two days.\n") + b"\0" * 600
    assert b"".join(reading.pieces(packed)) == b"One day.\nTwo days.\n"
    with pytest.raises(reading.DamagedError, match="the gzip file ends early"):
        list(reading.pieces(packed[:20]))


def test_rows_have_a_cap_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.VARIABLE, "1280")
    reading.check_rows(10)
    with pytest.raises(TooLargeError, match="holds more than 10 lines, the most that are read into memory"):
        reading.check_rows(11, "lines")
