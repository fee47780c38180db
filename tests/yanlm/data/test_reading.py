"""How much a file may hold, and that naming data loads nothing that reads it."""

import subprocess
import sys
from pathlib import Path

import pytest
from data_files import A, fault, gzipped, lines

from yanlm.data.readers import read_rows


def test_importing_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'datasets', 'transformers', 'pyarrow', 'pandas'}"
    code = (
        f"import sys, yanlm.data.corpus; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


class TestCaps:
    """A file may hold so much; what a few bytes unpack to counts."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOEFM_MAX_BYTES", "64K")

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.txt", b"One day.\n" * 10_000, "holds more than 65,536 bytes"),
            ("a.jsonl.gz", gzipped(lines(A) * 10_000), "unpacks to more than 65,536 bytes"),
            ("a.csv.gz", gzipped(b"text\n") + gzipped(b"One day.\n" * 5000) * 20, "unpacks to more than 65,536 bytes"),
            ("a.jsonl", lines({"text": "a" * 20_000}), "line 1 holds more than 8,192 bytes"),
            ("a.csv", b"text,label\nb,c\n" + b"a" * 20_000 + b",b\n", "line 3 holds more than 8,192 bytes"),
            ("a.csv", b'text,label\n"' + b"word\n" * 5000 + b'",b\n', "lines, the most that are read"),
            ("a.csv", b'text,label\n"' + b"a word of many\n" * 1000 + b'",b\n', "text of line 2 holds more than 8,192"),
            ("a.txt", b"x\n\n" + b"a word of many\n" * 1000, "the text of line 3 holds more than 8,192 bytes"),
            ("a.txt.gz", gzipped(b"\n" * 60_000 + b"x"), "holds more than 4,096 lines"),
            ("a.txt", b"One day.\n" * 2000, "holds more than 512 rows"),
        ],
    )
    def test_the_line_says_how_to_raise_it(self, tmp_path: Path, name: str, content: bytes, said: str) -> None:
        (tmp_path / name).write_bytes(content)
        message = fault(tmp_path / name)
        assert said in message and "raise the cap with --max-bytes" in message and "MOEFM_MAX_BYTES=" in message

    def test_the_remedy_can_be_followed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.jsonl"
        path.write_bytes(lines({"text": "a" * 20_000}, A))
        raised = fault(path).split("MOEFM_MAX_BYTES=")[1].split(",")[0]
        monkeypatch.setenv("MOEFM_MAX_BYTES", raised)
        assert len(read_rows(path).rows) == 2

    def test_parquet(self, tmp_path: Path) -> None:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        column = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), ["a word " * 100])
        pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
        assert (tmp_path / "a.parquet").stat().st_size < 5000
        assert "more than 65,536 bytes" in fault(tmp_path / "a.parquet")

    def test_no_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.txt").write_text("One day.")
        monkeypatch.setattr("yanlm.data.readers.unpacked", lambda content: bytearray(2**62))
        assert "does not fit into memory; split it" in fault(tmp_path / "a.txt")
