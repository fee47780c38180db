"""Tables in files: columns keep their types, and what is written can be told apart."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from moefm_cli.moefm.table_files import as_csv, read_columns, typed
from moefm_toy.named_points import DataError


def test_columns_are_typed_by_their_cells(tmp_path):
    (tmp_path / "t.csv").write_text("n;x;w\n1;1.5;a\n2;2;b\n")
    columns = read_columns(tmp_path / "t.csv")
    assert [column.dtype.kind for column in columns.values()] == ["i", "f", "O"]
    assert typed(["1", "", "NA"]).tolist() == [1, None, None]
    assert typed(["type_a", "type_b", ""]).tolist() == ["type_a", "type_b", None]
    assert typed(["1", "1_000"]).tolist() == ["1", "1_000"]


def test_other_files_say_what_their_columns_hold(tmp_path):
    frame = pd.DataFrame(
        {"zip": ["01234", "02345", "NA"], "n": [1, 2, 3], "ok": [True, False, True], "x": [0.5, None, 1]}
    )
    frame[frame.n != 2].to_parquet(tmp_path / "t.parquet")  # with the row index of pandas
    columns = read_columns(tmp_path / "t.parquet")
    assert {name: column.tolist() for name, column in columns.items()} == {
        "zip": ["01234", "NA"], "n": [1, 3], "ok": [True, True], "x": [0.5, 1.0],
    }  # fmt: skip
    np.save(tmp_path / "t.npy", np.arange(6).reshape(3, 2))
    assert {name: column.dtype.kind for name, column in read_columns(tmp_path / "t.npy").items()} == {
        "0": "i",
        "1": "i",
    }
    pd.DataFrame({"day": pd.date_range("2020", periods=3)}).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"column 'day' is of type timestamp.*: leave it out"):
        read_columns(tmp_path / "d.parquet")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"no.parquet: is damaged or not a .parquet file"):
        read_columns(tmp_path / "no.parquet")


@pytest.mark.parametrize("rows", [30, 100_000])
def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path, rows):
    (tmp_path / "t.csv").write_text('a,b\n1,"2\n' + "3,4\n" * rows)
    with pytest.raises(DataError, match=r"line 2.*(never closed|not valid CSV)"):
        read_columns(tmp_path / "t.csv")


@pytest.mark.parametrize("values", [1.7e9 + np.arange(50) / 7, 1e-9 * np.arange(1, 50), np.full(3, 5820072.123)])
def test_what_differs_is_written_differently(values):
    back = [float(row["x"]) for row in csv.DictReader(io.StringIO(as_csv({"x": values})))]
    assert len(set(back)) == len(set(values.tolist()))
    np.testing.assert_allclose(back, values, rtol=0, atol=max(1e-6 * values.std(), 1e-9 * values[0]))


def test_ordinary_numbers_stay_short():
    assert as_csv({"x": [170.123456789, 160.2], "n": [1, 2]}) == "x,n\n170.12346,1\n160.2,2\n"
