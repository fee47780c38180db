"""Conditions: labels as classes, everything else as vectors."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array

from moefm.sklearn.conditions import Conditions, complete_rows, read_condition

FRAME = pd.DataFrame({"age": [20, 40], "job": ["a", "b"], "land": ["DE", "DE"]})


@pytest.mark.parametrize(
    "labels", [["b", "a", "b"], np.array([7, 3, 7]), pd.Series(["b", "a", "b"]), [True, False, True]]
)
def test_one_column_of_labels_is_classes(labels):
    given = Conditions.fit(labels, np.ones(3))
    assert given.classes == 2 and given.encode(labels).tolist() == [1, 0, 1]
    assert given.encode(list(labels)[1]).tolist() == [0]


def test_numbers_are_standardized_and_many_integers_are_numbers():
    for numbers in (np.array([1.0, 3.0]), np.array([[1.0], [3.0]])):
        given = Conditions.fit(numbers, np.ones(2))
        assert given.classes == 0 and given.encode(numbers).flatten().tolist() == [-1, 1]
    assert Conditions.fit(np.arange(60), np.ones(60)).classes == 0


def test_a_frame_is_vectors_in_any_order_of_columns():
    given = Conditions.fit(FRAME, np.ones(2))
    vectors = given.encode(FRAME)
    assert vectors.shape == (2, 3)  # a number, two labels, nothing for the constant
    assert torch.equal(given.encode(FRAME[["land", "job", "age"]]), vectors)
    assert torch.equal(given.encode({"job": "b", "age": 40, "land": "DE"}), vectors[1:])
    assert torch.equal(given.encode({"job": ["a", "b"], "age": [20, 40], "land": "DE"}), vectors)
    assert torch.equal(given.encode(FRAME, np.array([False, True])), vectors[1:])


def test_json_keeps_them():
    given = Conditions.fit(FRAME, np.ones(2))
    assert Conditions.from_config(json.loads(json.dumps(given.config))) == given


@pytest.mark.parametrize(
    ("cond", "words"),
    [
        ({"age": 30}, "must have the columns age, job, land, got age"),
        ({"age": "x", "job": "a", "land": "DE"}, "must hold numbers in column 'age', got 'x'"),
        ({"age": 3, "job": "z", "land": "DE"}, "labels seen in fit .a, b., got 'z'"),
        (np.zeros((1, 1, 1)), r"got shape \(1, 1, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(cond, words):
    with pytest.raises(ValueError, match=f"cond {words}|{words}"):
        Conditions.fit(FRAME, np.ones(2)).encode(cond)


def test_fit_refuses_what_says_nothing():
    with pytest.raises(ValueError, match="cond must vary"):
        Conditions.fit(["a", "a"], np.ones(2))
    with pytest.raises(ValueError, match="for each of the 3 rows of X, got 2"):
        Conditions.fit(["a", "b"], np.ones(3))


def test_only_a_bare_column_is_single():
    assert read_condition([1, 2])[1] and not read_condition([[1], [2]])[1] and not read_condition({"a": 1})[1]


def test_a_sparse_condition_is_refused():
    with pytest.raises(TypeError, match=r"cond must not be sparse; give cond.toarray\(\)"):
        read_condition(csr_array(np.eye(3)))


def test_another_value_of_a_constant_is_refused():
    given = Conditions.fit(FRAME, np.ones(2))
    with pytest.raises(ValueError, match="cond must be 'DE' in column 'land', as in fit, got 'FR'"):
        given.encode({"age": 30, "job": "a", "land": "FR"})


def test_rows_of_weight_0_may_lack_values():
    gaps = FRAME.assign(job=["a", None])
    assert complete_rows(gaps, 2).tolist() == [True, False]
    vectors = Conditions.fit(pd.concat([FRAME, gaps]), np.array([1, 1, 1, 0.0])).encode(gaps, np.array([True, False]))
    assert vectors.shape == (1, 3)
    with pytest.raises(ValueError, match="NaN in row 1, column 'job'"):
        Conditions.fit(gaps, np.ones(2))


def test_a_row_of_several_columns_needs_two_brackets():
    given = Conditions.fit(np.random.RandomState(0).normal(size=(20, 2)), np.ones(20))
    assert given.encode([[1.0, 2.0]]).shape == (1, 2)
    with pytest.raises(ValueError, match=r"columns 0, 1, got a single one: a row of them is \[\[...\]\]"):
        given.encode([1.0, 2.0])


def test_no_column_at_all():
    with pytest.raises(ValueError, match="cond must have a column, got none: leave it out"):
        Conditions.fit({}, np.ones(20))
