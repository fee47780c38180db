"""Columns: there and back, units of the density, JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from moefm.sklearn.columns import Category, Constant, Integer, Number, fit_column, fit_named, from_config, to_config

WORDS = np.array(["a", "b", "a", "c", "a", "b"], dtype=object)


def random(seed=0):
    return np.random.RandomState(seed)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=30), st.integers(0, 99))
def test_integers_come_back_whatever_the_spread(numbers, seed):
    values = np.array(numbers)
    column = Integer.fit(values, np.ones(len(values)))
    assert np.array_equal(column.decode(column.encode(values, random(seed))), values)


@given(st.lists(st.sampled_from(["x", "y", "z", "é"]), min_size=2, max_size=30), st.integers(0, 99))
def test_labels_come_back_whatever_the_place(labels, seed):
    values = np.array(labels, dtype=object)
    column = Category.fit(values, np.ones(len(values)))
    for source in (random(seed), None):
        assert column.decode(column.encode(values, source)).tolist() == labels


def test_numbers_come_back():
    values = random().normal(5, 3, 50)
    column = Number.fit(values, np.ones(50))
    z = column.encode(values, None)
    assert z.mean() == pytest.approx(0) and z.std() == pytest.approx(1)
    np.testing.assert_allclose(column.decode(z), values)


def test_samples_of_integers_stay_in_the_range():
    column = Integer.fit(np.array([0, 1, 2]), np.ones(3))
    assert column.decode(np.array([-9.0, 0.0, 9.0])).tolist() == [0, 1, 2]


def test_spread_labels_are_standard_normal():
    values = random().choice(WORDS, 3000)
    z = Category.fit(values, np.ones(3000)).encode(values, random(1))
    assert kstest(z, "norm").pvalue > 0.01


def test_weights_count_as_repetitions():
    values, weight = np.array([1.0, 2.0, 9.0]), np.array([1.0, 3.0, 0.0])
    repeated = Number.fit(np.array([1.0, 2.0, 2.0, 2.0]), np.ones(4))
    assert fit_column(values, weight) == Number(pytest.approx(repeated.mean), pytest.approx(repeated.std))
    assert fit_column(WORDS, np.array([1.0, 1, 0, 0, 0, 0])).levels == ["a", "b"]
    assert fit_column(values, np.array([0.0, 0.0, 2.0])) == Constant(9.0)


def test_log_scale_is_the_change_of_density():
    # A standard normal z has density N(mean, std) in the unit of x, and labels have their shares as probabilities.
    def normal(z):
        return -0.5 * (z**2 + math.log(2 * math.pi))

    values = np.array([1.0, 4.0])
    column = Number(2.0, 3.0)
    expected = normal((values - 2) / 3) - math.log(3)
    np.testing.assert_allclose(normal(column.encode(values, None)) + column.log_scale(values), expected)
    labels = Category.fit(WORDS, np.ones(6))
    density = normal(labels.encode(WORDS, None)) + labels.log_scale(WORDS)
    np.testing.assert_allclose(np.exp(density), np.array([3, 2, 3, 1, 3, 2]) / 6)
    whole = Integer(0.0, 1.0, -50, 50)
    at = np.arange(-50, 51)
    assert np.exp(normal(whole.encode(at, None)) + whole.log_scale(at)).sum() == pytest.approx(1)
    assert Constant("x").log_scale(np.array(["x", "y"], dtype=object)).tolist() == [0, -np.inf]


def test_a_label_that_was_not_seen_is_named():
    column = Category.fit(WORDS, np.ones(6))
    with pytest.raises(ValueError, match=r"seen in fit \(a, b, c\), got 'd' in row 1"):
        column.encode(np.array(["a", "d"], dtype=object), None)


@pytest.mark.parametrize(
    ("values", "kind"),
    [(np.array([1.0, 2.0]), Number), (np.array([1, 2]), Integer), (np.array([True, False], dtype=object), Category),
     (np.array(["p", "q"], dtype=object), Category), (np.array([1.5, 1.5]), Constant)],
)  # fmt: skip
def test_the_dtype_says_the_kind_and_json_keeps_it(values, kind):
    column = fit_column(values, np.ones(2))
    assert type(column) is kind
    assert from_config(json.loads(json.dumps(to_config([column])))) == [column]


def test_columns_that_no_flow_can_learn_are_refused_by_name():
    weight = np.ones(60)
    assert fit_named("team", np.array(["a", "b"] * 30, dtype=object), weight).kind == "category"
    few = np.array([f"user {i}" for i in range(20)], dtype=object)
    assert fit_named("few", few, np.ones(20)).kind == "category"
    for values, words in (
        (np.array([f"user {i}" for i in range(60)], dtype=object), "column 'c' holds 60 different texts in 60 rows"),
        (np.linspace(1, 1.7e308, 60), "column 'c' has numbers too large"),
        (np.repeat([0.0, 1e-200], 30), "or too close to tell apart: rescale it"),
    ):
        with pytest.raises(ValueError, match=words):
            fit_named("c", values, weight)


def test_a_kind_of_another_version_is_refused():
    with pytest.raises(ValueError, match="kind 'spline', of another version"):
        from_config([{"kind": "spline"}])


def test_integers_stay_in_their_range_or_are_refused():
    ids = 10**18 + np.arange(0, 100_000, 2500)
    column = fit_named("id", ids, np.ones(40))
    drawn = column.decode(np.linspace(-9, 9, 50))
    assert drawn.min() == ids.min() and drawn.max() == ids.max()
    with pytest.raises(ValueError, match="column 'id' has integers too large to tell apart: subtract the least"):
        fit_named("id", 10**18 + np.arange(40), np.ones(40))
