"""Tables: arrays and data frames in and out, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from moefm.sklearn.forms import is_frame
from moefm.sklearn.tables import check_names, read_table

FRAME = pd.DataFrame(
    {"size": [1.5, 2.5, 3.5], "age": [30, 40, 50], "job": ["a", "b", "a"], "member": [True, False, True]}
).assign(town=lambda frame: frame.job.astype("category"))


COLUMNS = {"size": [1.5, 2.5], "age": [30, 40], "job": ["a", "b"]}


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        pa.table(COLUMNS),
        pl.DataFrame(COLUMNS),
        pl.DataFrame(COLUMNS | {"ok": [True, False]}, schema_overrides={"size": pl.Float32, "job": pl.Categorical}),
    ],
    ids=type,
)
def test_frames_come_back_with_names_and_types(frame):
    assert is_frame(frame)
    table = read_table("X", frame)
    assert [values.dtype.kind for values in table.columns] == list("fiOOO")[: len(table.columns)]
    back = table.form.build(table.columns)
    assert type(back) is type(frame) and back.equals(frame)


@pytest.mark.parametrize(
    "array", [np.eye(3, dtype=np.float32), np.arange(6).reshape(3, 2), np.array([["a", 1], ["b", 2]], object)]
)
def test_arrays_come_back(array):
    table = read_table("X", array)
    back = table.form.build(table.columns)
    assert back.dtype == array.dtype and np.array_equal(back, array)


def test_names_may_be_numbers():
    assert read_table("X", pd.DataFrame([[1.0, 2.0], [3.0, 4.0]])).form.names == ["0", "1"]


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
@pytest.mark.parametrize("column", ["size", "age", "job"])
def test_a_missing_value_is_refused_by_row_and_column_or_its_row_dropped(column, gap):
    frame = FRAME.astype({"size": "Float64", "age": "Int64", "job": object})
    frame.loc[1, column] = gap
    with pytest.raises(
        ValueError, match=f"NaN in row 1, column '{column}' .1 rows in all.: fill them in, or leave such"
    ):
        read_table("X", frame)
    table = read_table("X", frame, "drop")
    assert table.rows.tolist() == [True, False, True]
    assert [len(values) for values in table.columns] == [2] * 5 and table.columns[1].dtype == np.int64
    assert table.where(np.array([True, True, False])).columns[1].tolist() == [30]
    with pytest.raises(ValueError, match="at least 3 rows without missing values, got 2"):
        read_table("X", frame, "drop", least=3)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([1.0, np.inf], ValueError, "infinity in row 1, column 'c'"),
        (pd.date_range("2020", periods=2), ValueError, "column 'c' is of type Datetime.*: leave it out"),
        ([object(), object()], TypeError, "objects in column 'c': an argument must be a string or a number"),
        ([2**63, 5], ValueError, "more than 64 bits in column 'c'"),
        ([10**30, 5], ValueError, "more than 64 bits in column 'c': make them floating-point,"),
        (["a", 1], TypeError, "objects in column 'c'.*got int, str"),
    ],
)
def test_other_values_are_refused_by_column(values, error, words):
    with pytest.raises(error, match=words):
        read_table("X", pd.DataFrame({"b": [1, 2], "c": values}))


def test_names_are_given_once():
    check_names("X", FRAME)
    with pytest.raises(ValueError, match="got 'a' twice"):
        check_names("X", pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_dates_are_refused_in_any_table():
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[ns]")
    for table in ({"c": dates}, dates[:, None]):
        with pytest.raises(ValueError, match=r"is of type datetime64.*: leave it out"):
            read_table("X", table)


def test_categories_are_labels_even_if_they_are_numbers():
    frame = pd.DataFrame({"code": pd.Categorical([1, 10, 5])})
    [codes] = read_table("X", frame).columns
    assert codes.dtype == object and codes.tolist() == [1, 10, 5]


def test_columns_of_objects_are_what_they_hold():
    frame = pd.DataFrame({"n": [1, 2], "x": [1.5, 2.5], "ok": [True, False], "w": ["a", "b"]}, dtype=object)
    table = read_table("X", frame)
    assert table.form.dtypes == ["Int64", "Float64", "Boolean", "String"]
    assert [values.dtype.kind for values in table.columns] == ["i", "f", "O", "O"]
    assert read_table("X", {"w": np.array([b"a", b"b"])}).columns[0].tolist() == ["a", "b"]
