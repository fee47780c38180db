"""A fitted flow on disk: the same flow comes back, and other folders are refused."""

import json

import numpy as np
import pandas as pd
import pytest

from moefm import MLPMixtureField, save_field
from moefm.sklearn import MoEFlow
from moefm.sklearn.saving import load_parts, save_parts


def test_the_same_flow_comes_back(quick, people, tmp_path):
    flow = quick(loss="paper").fit(people.drop(columns="job"), cond=people.job)
    flow.save(tmp_path / "people")
    back = MoEFlow.load(tmp_path / "people")
    assert back.get_params() == flow.get_params() and list(back.feature_names_in_) == list(flow.feature_names_in_)
    pd.testing.assert_frame_equal(back.sample(5, cond="pilot"), flow.sample(5, cond="pilot"))
    rows = people.drop(columns="job")
    np.testing.assert_array_equal(back.score_samples(rows, people.job), flow.score_samples(rows, people.job))
    card = (tmp_path / "people" / "README.md").read_text()
    assert "| height | number | mean" in card and "| land | constant | always DE |" in card and "60 rows" in card


def test_arrays_have_no_names(quick, tmp_path):
    quick(n_experts=1).fit(np.random.RandomState(0).normal(size=(20, 2))).save(tmp_path)
    back = MoEFlow.load(tmp_path)
    assert not hasattr(back, "feature_names_in_") and back.sample(2).shape == (2, 2)


def test_other_folders_are_refused_in_one_line(quick, people, tmp_path):
    with pytest.raises(ValueError, match=r"config\.json"):
        load_parts(tmp_path / "nowhere")
    save_field(MLPMixtureField(2, 2), tmp_path)
    with pytest.raises(ValueError, match=r"written by MoEFlow.save.*without 'table'"):
        load_parts(tmp_path)
    flow = quick().fit(people)
    save_parts(tmp_path, flow.field_, flow.coordinates_, None, {}, {"rows": 60})
    config = json.loads((tmp_path / "config.json").read_text())
    config["extra"]["table"]["format"] = 99
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="format 99, of another version") as raised:
        load_parts(tmp_path)
    assert "\n" not in str(raised.value)
