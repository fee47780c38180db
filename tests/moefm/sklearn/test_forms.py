"""The form of a table: what goes in comes out."""

import numpy as np
import pandas as pd
import pytest

from moefm.sklearn.forms import Form, is_mapping, kept_labels, unmasked


@pytest.mark.parametrize("labels", [[0, 1], [7, 3], ["x", "y"], [("a", "x"), ("a", "y")], [("a", 1), ("b", 1)]])
def test_a_frame_gets_its_own_names_back(quick, labels, tmp_path):
    frame = pd.DataFrame(np.random.RandomState(0).normal(size=(20, 2)), columns=labels)
    flow = quick().fit(frame)
    flow.save(tmp_path)
    for one in (flow, type(flow).load(tmp_path)):
        assert one.sample(3).columns.tolist() == labels


def test_columns_with_levels_come_back_with_them(quick):
    columns = pd.MultiIndex.from_product([["size"], ["left", "right"]])
    frame = pd.DataFrame(np.random.RandomState(0).normal(size=(20, 2)), columns=columns)
    flow = quick().fit(frame)
    assert flow.sample(3).columns.equals(columns) and flow.score_samples(frame).shape == (20,)
    with pytest.raises(ValueError, match="X must have the columns"):
        flow.score_samples(frame.rename(columns={"left": "middle"}))


def test_labels_of_other_kinds_are_not_kept():
    assert kept_labels([1.5, "a"]) is None and kept_labels([("a", 1.5), ("a", 2)]) is None


def test_an_array_has_the_dtype_of_its_columns():
    built = Form("numpy", ["0", "1"], ["float32"] * 2).build([np.ones(3), np.zeros(3)])
    assert built.dtype == np.float32 and built.shape == (3, 2)
    assert is_mapping({"a": [1]}) and not is_mapping(built)


@pytest.mark.parametrize(
    "values, gap", [([1.0, 2.0], np.nan), ([1, 2], None), (["a", "b"], None), ([True, False], None)]
)
def test_what_is_masked_is_missing(values, gap):
    given = unmasked(np.ma.masked_array(values, [False, True]))
    assert type(given) is np.ndarray and given[0] == values[0]
    assert given[1] is None if gap is None else np.isnan(given[1])
    whole = unmasked(np.ma.masked_array(values, False))
    assert type(whole) is np.ndarray and whole.tolist() == values and whole.dtype == np.array(values).dtype


@pytest.mark.parametrize("form", [lambda values: values, lambda values: {"a": values[:, 0], "b": values[:, 1]}])
@pytest.mark.parametrize(
    "numbers", [np.random.RandomState(0).normal(size=(40, 2)), np.arange(80).reshape(40, 2)], ids=str
)
def test_masked_values_of_a_table_are_refused_or_dropped(quick, form, numbers):
    values = np.ma.masked_array(numbers, np.zeros((40, 2)))
    values[3, 1] = np.ma.masked
    with pytest.raises(ValueError, match="no missing values, got NaN in row 3"):
        quick().fit(form(values))
    whole = np.delete(numbers, 3, 0)
    flows = quick(missing="drop").fit(form(values)), quick(missing="drop").fit(form(whole))
    samples = [flow.sample(5) for flow in flows]
    for left, right in zip(*(s.values() if isinstance(s, dict) else s for s in samples), strict=True):
        np.testing.assert_array_equal(left.astype(float), right.astype(float))


def test_a_masked_condition_is_missing(quick):
    cond = np.ma.masked_array(np.arange(40.0), np.arange(40) == 5)
    with pytest.raises(ValueError, match="cond must have no missing values, got NaN in row 5"):
        quick().fit(np.random.RandomState(0).normal(size=(40, 2)), cond=cond)
    with pytest.raises(ValueError, match="cond must have no missing values, got NaN in row 5"):
        quick().fit(np.random.RandomState(0).normal(size=(40, 2)), cond={"age": cond})
