"""The form of a table: what goes in comes out."""

import numpy as np
import pandas as pd
import pytest

from moefm.sklearn.forms import Form, is_mapping


@pytest.mark.parametrize("labels", [[0, 1], [7, 3], ["x", "y"]])
def test_a_frame_gets_its_own_names_back(quick, labels, tmp_path):
    frame = pd.DataFrame(np.random.RandomState(0).normal(size=(20, 2)), columns=labels)
    flow = quick().fit(frame)
    flow.save(tmp_path)
    for one in (flow, type(flow).load(tmp_path)):
        assert one.sample(3).columns.tolist() == labels


def test_an_array_has_the_dtype_of_its_columns():
    built = Form("numpy", ["0", "1"], ["float32"] * 2).build([np.ones(3), np.zeros(3)])
    assert built.dtype == np.float32 and built.shape == (3, 2)
    assert is_mapping({"a": [1]}) and not is_mapping(built)
