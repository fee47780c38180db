"""Coordinates: a table as points, and back."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from moefm.sklearn.coordinates import Coordinates, same_columns
from moefm.sklearn.tables import read_table

FRAME = pd.DataFrame({"land": ["DE"] * 4, "size": [1.0, 2.0, 3.0, 4.0], "job": ["a", "b", "a", "b"]})


def fitted(frame=FRAME):
    table = read_table("X", frame)
    return table, Coordinates.fit(table, np.ones(len(frame)))


def test_a_constant_column_has_no_coordinate_and_comes_back():
    table, coordinates = fitted()
    points = coordinates.encode(table, np.random.RandomState(0))
    assert points.shape == (4, 2) and points.dtype == torch.float32
    back = coordinates.decode(points)
    pd.testing.assert_frame_equal(back, FRAME)


def test_log_scale_is_summed_over_columns():
    table, coordinates = fitted()
    parts = [column.log_scale(values) for column, values in zip(coordinates.columns, table.columns, strict=True)]
    np.testing.assert_allclose(coordinates.log_scale(table), sum(parts))


def test_json_keeps_them():
    coordinates = fitted()[1]
    assert Coordinates.from_config(json.loads(json.dumps(coordinates.config))) == coordinates


def test_a_table_without_variation_is_refused():
    with pytest.raises(ValueError, match="must have a column that varies"):
        fitted(FRAME[["land"]])


def test_an_unseen_label_is_named_with_its_column():
    coordinates = fitted()[1]
    with pytest.raises(ValueError, match=r"column 'job' must hold labels seen in fit \(a, b\), got 'z' in row 0"):
        coordinates.encode(read_table("X", FRAME[:1].assign(job="z")))


def test_columns_are_put_in_order_and_others_refused():
    table = read_table("cond", FRAME[["job", "size"]])
    assert same_columns(["size", "job"], table).columns[0].tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="must have the columns size, got job, size"):
        same_columns(["size"], table)
