"""Good files give their numbers; a broken one gives one line with its name, the fault and the remedy."""

import builtins
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_runs import XY, fault, finite_points

from moefm_toy.named_points import DataError
from moefm_toy.readers import read_named, read_points


class TestNumpy:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "int8", "uint64", ">f8"])
    def test_dtypes(self, tmp_path: Path, dtype: str) -> None:
        np.save(tmp_path / "p.npy", np.arange(6).reshape(3, 2).astype(dtype))
        points = read_points(str(tmp_path / "p.npy"))
        assert points.dtype == np.float64
        assert points.tolist() == [[0, 1], [2, 3], [4, 5]]

    @pytest.mark.parametrize("array", [np.arange(3.0), np.arange(3.0)[:, None]])
    def test_one_dimension(self, tmp_path: Path, array: np.ndarray) -> None:
        np.save(tmp_path / "p.npy", array)
        assert read_points(tmp_path / "p.npy").tolist() == [[0], [1], [2]]

    def test_column_order_and_capital_extension(self, tmp_path: Path) -> None:
        with (tmp_path / "P.NPY").open("wb") as file:
            np.save(file, np.asfortranarray(XY))
        points = read_points(tmp_path / "P.NPY")
        assert points.tolist() == XY and points.flags.c_contiguous

    @pytest.mark.parametrize(
        "arrays",
        [
            {"anything": XY},
            {"points": XY, "x": 0},
            {"x": XY, "labels": [0, 1]},
            {"X": XY, "y": [0, 1]},
            {"data": XY, "target": [0, 1]},
        ],
    )
    def test_npz(self, tmp_path: Path, arrays: dict[str, object]) -> None:
        np.savez_compressed(tmp_path / "p.npz", **arrays)
        assert read_points(tmp_path / "p.npz").tolist() == XY

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((2, 3, 4)), "holds an array of shape (2, 3, 4); reshape it to (points, dimensions)"),
            (np.float64(3.0), "holds an array of shape ()"),
            (np.zeros((0, 3)), "holds no points (shape (0, 3))"),
            (np.zeros((3, 0)), "holds no points (shape (3, 0))"),
            (np.zeros(0), "holds no points"),
            (np.array(XY) + 1j, "holds values of type complex128; save them as integers or floats"),
            (np.array(XY) > 1, "holds values of type bool"),
            (np.array([["a", "b"]]), "holds values of type <U1"),
            (np.array(["2020-01-01"], dtype="datetime64[D]"), "holds values of type datetime64[D]"),
            (np.zeros(3, dtype=[("x", "f8")]), "holds values of type"),
            (np.array([[1, None]], dtype=object), "holds Python objects (a pickle), never loaded here"),
            (
                np.array([[1, 2], [np.nan, 0], [3, -np.inf]]),
                "2 of 3 rows hold NaN, infinity or a missing value",
            ),
        ],
    )
    def test_broken_arrays(self, tmp_path: Path, array: np.ndarray, message: str) -> None:
        np.save(tmp_path / "p.npy", array)
        np.savez(tmp_path / "p.npz", array)
        assert message in fault(tmp_path / "p.npy")
        assert message in fault(tmp_path / "p.npz")

    def test_npz_without_a_known_name(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "p.npz", a=XY, b=XY)
        assert fault(tmp_path / "p.npz").startswith("holds the arrays a, b; save one array, or call the points one")
        np.savez(tmp_path / "none.npz")
        assert fault(tmp_path / "none.npz").startswith("holds no array")

    def test_wrong_extension_of_the_two(self, tmp_path: Path) -> None:
        np.save(tmp_path / "p.npy", XY)
        np.savez(tmp_path / "q.npz", XY)
        (tmp_path / "p.npy").rename(tmp_path / "p.npz")
        (tmp_path / "q.npz").rename(tmp_path / "q.npy")
        assert "rename it to .npy" in fault(tmp_path / "p.npz")
        assert "rename it to .npz" in fault(tmp_path / "q.npy")

    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    def test_a_pickle_is_never_run(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"p{suffix}"
        path.write_bytes(pickle.dumps(Bomb()))
        assert "never loaded" in fault(path)
        assert not Bomb.exploded

    @pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
    def test_damaged(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"p{suffix}"
        write(path, np.arange(4000.0).reshape(-1, 2))
        whole = path.read_bytes()
        for content in (whole[: len(whole) // 2], whole[:5], b"plain text"):
            path.write_bytes(content)
            assert "save" in fault(path)
        path.write_bytes(b"")
        assert "is empty (0 bytes)" in fault(path)

    @given(points=finite_points)
    def test_round_trip(self, tmp_path_factory: pytest.TempPathFactory, points: np.ndarray) -> None:
        for name in ("round_trip.npy", "round_trip.npz"):
            path = tmp_path_factory.getbasetemp() / name
            write(path, points)
            np.testing.assert_array_equal(read_points(path), points)


class Bomb:
    exploded = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return setattr, (Bomb, "exploded", True)


def write(path: Path, points: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, points)
    elif path.suffix == ".npz":
        np.savez(path, points)
    else:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({f"x{i}": column for i, column in enumerate(points.T)}), path)


class TestParquet:
    def table(self, path: Path, **columns: object) -> Path:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path)
        return path

    def test_good(self, tmp_path: Path) -> None:
        columns = {"x": [1, 3], "y": np.array([2.0, 4.5], dtype=np.float32), "__index_level_0__": [7, 9]}
        points, names, _ = read_named(self.table(tmp_path / "p.parquet", **columns))
        assert points.tolist() == XY
        assert names == ("x", "y")

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"x": [1.0], "kind": ["a"]}, "column 'kind' is of type string, not a number; leave it out"),
            ({"flag": [True]}, "column 'flag' is of type bool"),
            ({"x": [[1.0, 2.0]]}, "column 'x' is of type list<"),
            ({"x": [1, None, 3]}, "1 of 3 rows hold NaN, infinity or a missing value, the first is row 2"),
            ({"x": np.zeros(0)}, "holds no points"),
            ({}, "holds no column"),
            ({"\x1b[2J": ["a"]}, r"column '\x1b[2J' is of type string"),
        ],
    )
    def test_broken(self, tmp_path: Path, columns: dict[str, object], message: str) -> None:
        assert message in fault(self.table(tmp_path / "p.parquet", **columns))

    def test_without_pyarrow_the_remedy_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real_import = builtins.__import__

        def without_pyarrow(name: str, *args: object, **kwargs: object) -> object:
            if name.split(".")[0] == "pyarrow":
                raise ImportError("No module named 'pyarrow'")
            return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(builtins, "__import__", without_pyarrow)
        (tmp_path / "p.parquet").write_bytes(b"PAR1")
        assert fault(tmp_path / "p.parquet").startswith("needs pyarrow to be read; pip install ")


class TestCaps:
    """A file may hold so much; what a few bytes unpack to counts."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOEFM_MAX_BYTES", "64K")

    def test_plain(self, tmp_path: Path) -> None:
        for name in ("p.csv", "p.npy"):
            (tmp_path / name).write_bytes(b"1,2\n" * 20_000)
            assert "holds more than 65,536 bytes" in fault(tmp_path / name)

    def test_packed(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "p.npz", x=np.zeros((20_000, 2)), other=np.zeros(1))
        assert (tmp_path / "p.npz").stat().st_size < 2000
        message = fault(tmp_path / "p.npz")
        assert "the array x unpacks to more than 65,536 bytes" in message and "--max-bytes" in message
        np.savez_compressed(tmp_path / "q.npz", x=np.zeros((30_000, 2), np.int8))
        assert "unpacks to more than 65,536 bytes" in fault(tmp_path / "q.npz")  # as float64

    def test_parquet(self, tmp_path: Path) -> None:
        path = TestParquet().table(tmp_path / "p.parquet", x=np.zeros(20_000))
        assert path.stat().st_size < 2000 and "unpacks to more than 65,536 bytes" in fault(path)

    def test_a_header_that_promises_too_much(self, tmp_path: Path) -> None:
        with (tmp_path / "p.npy").open("wb") as file:
            promise = {"descr": "<f8", "fortran_order": False, "shape": (10**13, 2)}
            np.lib.format.write_array_header_1_0(file, promise)
        assert "does not fit into memory, or is damaged" in fault(tmp_path / "p.npy")


@pytest.mark.parametrize("end", [".csv", ".npy", ".npz", ".parquet"])
@given(st.binary(max_size=200), st.sampled_from([b"", b"x,y\n", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"PAR1"]))
def test_any_bytes_give_points_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, end: str, content: bytes, head: bytes
) -> None:
    if end == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("t") / f"a{end}"
    path.write_bytes(head + content)
    try:
        assert np.isfinite(read_points(path)).all()
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and str(error).isprintable()


class TestPaths:
    def test_missing_folder_and_extension(self, tmp_path: Path) -> None:
        (tmp_path / "folder.csv").mkdir()
        (tmp_path / "p.txt").write_text("1,2")
        (tmp_path / "p").write_text("1,2")
        assert fault(tmp_path / "nothing.csv") == "does not exist; check the path"
        assert fault(tmp_path / "folder.csv") == "is a folder; give one file of points"
        assert fault(tmp_path) == "is a folder; give one file of points"
        assert fault(tmp_path / "p.txt") == "has the extension '.txt'; accepted are .npy, .npz, .csv, .parquet"
        assert fault(tmp_path / "p") == "has no extension; accepted are .npy, .npz, .csv, .parquet"

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: Path, mode: str) -> bytes:
            raise PermissionError(13, "Permission denied")

        (tmp_path / "p.csv").write_text("1,2")
        monkeypatch.setattr(Path, "open", refuse)
        assert fault(tmp_path / "p.csv") == "cannot be read (Permission denied); check its permissions"

    @pytest.mark.skipif(sys.platform == "win32", reason="such a name is a different error there")
    def test_impossible_names(self, tmp_path: Path) -> None:
        assert "cannot be read (File name too long)" in fault(tmp_path / ("a" * 5000 + ".csv"))
        assert "does not exist" in fault(tmp_path / "a\0b.csv")
