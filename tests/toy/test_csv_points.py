"""Points of a csv: headers, separators, quotes; what is wrong is told with its line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_runs import XY, fault, finite_points

from moefm_toy.readers import read_named, read_points


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x,y\n1,2\n", ("x", "y")),
        ('"width; cm", y \n1,2\n', ("width; cm", "y")),
        ("1,2\n3,4\n", ()),
        ("\ufeffgröße\n1\n", ("größe",)),
    ],
)
def test_the_names_of_the_header(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    assert read_named(tmp_path / "p.csv").names == names


class TestCsv:
    @pytest.mark.parametrize(
        "text",
        [
            "1,2\n3,4.5\n",
            "1,2\n3,4.5",
            "x,y\n1,2\n3,4.5\n",
            "1;2\n3;4.5\n",
            "a;b\n1;2\n3;4.5\n",
            "1\t2\n3\t4.5\n",
            '"x, left";"y"\n1;2\n3;4.5\n',
            '"x; left","y"\n1,2\n3,4.5\n',
            '"1","2"\n"3","4.5"\n',
            ' 1 , "2"\n 3e0, +45e-1\n',
            "\n\n1,2\n\n   \n3,4.5\n,\n\n",
            "1,2\r\n3,4.5\r\n",
            "1,2\r3,4.5\r",
            "\ufeffx,y\n1,2\n3,4.5\n",
            "\ufeff1,2\n3,4.5\n",
            "# größe,y\n1,2\n3,4.5\n",
            '"width\n(cm)",y\n1,2\n3,4.5\n',
            "Na,K\n1,2\n3,4.5\n",
            "a\u2028b;c\x0c\n1;2\n3;4.5\n",
            '1,2\n3,"4.5',
        ],
    )
    def test_good(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "p.csv"
        path.write_bytes(text.encode())
        points = read_points(path)
        assert points.dtype == np.float64
        assert points.tolist() == XY

    @pytest.mark.parametrize("text", ["1\n2\n", "x\n1\n2\n", '"1"\n\n"2"'])
    def test_one_column(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "p.csv"
        path.write_text(text)
        assert read_points(path).tolist() == [[1.0], [2.0]]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty (0 bytes)"),
            (b"\n\n  \n", "holds no row of numbers"),
            (b"x,y\n", "holds no row of numbers"),
            (b"1,2\n3,abc\n", "line 2, column 2: 'abc' is not a number"),
            (b"x,y\n\n1,2\n3,abc\n", "line 4, column 2 ('y'): 'abc' is not a number"),
            (b"x,2\n1,2\n", "line 1, column 1: 'x' is not a number"),
            (b"1,2\n3,\n", "line 2, column 2: the cell is empty"),
            (b"1,2,\n3,4,\n", "line 1, column 3: the cell is empty"),
            (b"1,1_000\n", "line 1, column 2: '1_000' is not a number"),
            (
                b"1,5;2,5\n",
                "line 1, column 1: '1,5' is not a number; columns are separated by comma, semicolon",
            ),
            (b"1,5;2,5\n1;2\n", "line 1, column 1: '1,5' is not a number"),
            (b"1 2\n3 4\n4 5\n", "line 1, column 1: '1 2' is not a number"),
            (b"x y\n3 4\n", "line 2, column 1 ('x y'): '3 4' is not a number"),
            (b"1,2\n3\n", "line 2 has 1 columns, 2 expected"),
            (b"x,y\n1,2\n\n3,4,5\n", "line 4 has 3 columns, 2 expected"),
            (b"x,y\n1,2,3\n", "line 2 has 3 columns, 2 expected"),
            (b",x,y\n0,1,2\n", "column 1 has no name in the header (a row index?)"),
            (b"1,2\n3,nan\ninf,2\n", "2 of 3 rows hold NaN, infinity or a missing value, the first is row 2"),
            (b"1,2\n3,1e999\n", "1 of 2 rows hold NaN"),
            ("größe,y\n1,2\n".encode("latin-1"), "is not UTF-8 text (byte 2); save it as 'CSV UTF-8'"),
            ("x,y\n1,2\n".encode("utf-16"), "is not UTF-8 text (byte 0)"),
            (b'1,"' + b"2" * 200_000, "line 1 is not valid CSV"),
            (b'"x,y\n1,2\n3,4\n', "line 1: a quote opened here is never closed in its line"),
            (b'"x\n1\n2"\n3\n4\n', "line 1: a quote opened here is never closed in its line"),
            (b'"x,y\r\n1,2\r\n"3",4\r\n', "line 1: a quote opened here is never closed in its line"),
            (b'x,y\n1,2\n"3,4\n5,6\n7,"8\n', "line 3: a quote opened here is never closed in its line"),
            (b"x,y\n1,NA\n3,4\n5,null\n", "2 of 3 rows hold NaN, infinity or a missing value, the first is row 1"),
            (b"NA,None\n3,4\n", "1 of 2 rows hold NaN, infinity or a missing value, the first is row 1"),
            (b"\x1b[2J,y\n1,2\nx,3\n", r"column 1 ('\x1b[2J'): 'x' is not a number"),
        ],
    )
    def test_broken(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "p.csv"
        path.write_bytes(content)
        assert message in fault(path)

    def test_a_long_cell_is_not_repeated_in_full(self, tmp_path: Path) -> None:
        path = tmp_path / "p.csv"
        path.write_text("1,2\n3," + "z" * 10_000)
        assert len(fault(path)) < 200

    @given(points=finite_points, separator=st.sampled_from(",;\t"), header=st.booleans())
    def test_round_trip(
        self, tmp_path_factory: pytest.TempPathFactory, points: np.ndarray, separator: str, header: bool
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "round_trip.csv"
        rows = [separator.join(map(repr, row)) for row in points.tolist()]
        names = [separator.join(f"x{i}" for i in range(points.shape[1]))] if header else []
        path.write_text("\n".join(names + rows))
        np.testing.assert_array_equal(read_points(path), points)
