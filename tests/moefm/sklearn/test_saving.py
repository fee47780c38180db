"""A fitted flow on disk: the same flow comes back, and other folders are refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from moefm import ContinuumField, MLPMixtureField, minibatch_ot, save_field
from moefm.sklearn import MoEFlow
from moefm.sklearn.saving import load_parts


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
        load_parts(tmp_path / "nowhere", [])
    save_field(MLPMixtureField(2, 2), tmp_path)
    with pytest.raises(ValueError, match=r"written by MoEFlow.save.*without 'table'"):
        load_parts(tmp_path, [])


def test_a_folder_of_another_field_is_refused(tmp_path):
    save_field(ContinuumField(2, hidden=8), tmp_path)
    with pytest.raises(ValueError, match="a ContinuumField"):
        load_parts(tmp_path, [])


def test_what_the_choice_of_experts_measured_comes_back(quick, people, tmp_path):
    flow = quick(n_experts=1).fit(people)
    flow.distances_ = {1: 0.5, 2: 0.25}  # as n_experts="auto" leaves them
    flow.save(tmp_path)
    assert MoEFlow.load(tmp_path).distances_ == flow.distances_


def _of_another_version(table):
    table["format"] = 99


def _with_another_kind(table):
    table["coordinates"]["columns"][0]["kind"] = "spline"


def _with_another_setting(table):
    table["settings"]["copula"] = True


def _halved(table):
    del table["settings"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_of_another_version, "format 99, of another version"),
        (_with_another_kind, "a column of kind 'spline', of another version"),
        (_with_another_setting, "the setting 'copula', of another version"),
        (_halved, "without 'settings'"),
    ],
)
def test_folders_of_another_version_are_refused_in_one_line(quick, people, tmp_path, change, words):
    quick().fit(people).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    change(config["extra"]["table"])
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words) as raised:
        MoEFlow.load(tmp_path)
    assert "\n" not in str(raised.value)


def test_settings_and_labels_may_be_numpy_s(quick, tmp_path):
    random = np.random.RandomState(0)
    table = {"ok": [np.bool_(row % 2) for row in range(20)], "code": [b"a", b"b"] * 10, "x": random.normal(size=20)}
    flow = quick().set_params(n_experts=np.int64(2), train_steps=np.int64(2)).fit(table)
    flow.save(tmp_path)
    assert MoEFlow.load(tmp_path).get_params() == flow.get_params()


def test_settings_that_json_cannot_hold(quick, tmp_path):
    X = np.random.RandomState(0).normal(size=(20, 2))
    settings = {"device": torch.device("cpu"), "random_state": np.int64(7), "coupling": minibatch_ot}
    quick(**settings).fit(X).save(tmp_path)
    back = MoEFlow.load(tmp_path, device=torch.device("cpu"))
    assert back.random_state == 7 and back.coupling is None
    with pytest.raises(ValueError, match="device must be"):
        MoEFlow.load(tmp_path, device="gpu")
