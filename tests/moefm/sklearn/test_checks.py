"""What a table has to be before a flow learns from it."""

import numpy as np
import pandas as pd
import pytest

from moefm.sklearn.checks import check_width, checked_table, row_weights


def test_the_columns_of_fit_are_those_of_later_tables(quick):
    flow, rows = quick(), np.random.RandomState(0).normal(size=(20, 2))
    for table in (pd.DataFrame(rows), pd.DataFrame(rows, columns=["a", "b"]), {"a": rows[:, 0], "b": rows[:, 1]}):
        known = checked_table(flow, table).form.names
        assert checked_table(flow, table, known).form.names == known and flow.n_features_in_ == 2
        turned = dict(reversed(table.items())) if isinstance(table, dict) else table[table.columns[::-1]]
        with pytest.raises(ValueError, match=r"must have the columns|in the same order"):
            checked_table(flow, turned, known)


def test_a_thousand_columns_are_refused_with_the_remedy():
    check_width(500)
    with pytest.raises(ValueError, match=r"at most 500 columns, got 1000.*PCA"):
        check_width(1000)


@pytest.mark.parametrize("weight", [[1.0], [1.0, -1.0], [1.0, np.nan], [[1.0], [1.0]], [0.0, 0.0]])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="sample_weight must"):
        row_weights(weight, 2)
    assert row_weights([0, 2], 2).tolist() == [0, 1] and row_weights(None, 2).tolist() == [1, 1]
