"""The document of a run: numbers of a seed, medians and ranges of several."""

import pytest
from toy_runs import TINY

from moefm_toy.report import combine, document, ratios, winners


def test_document_of_one_seed(runs):
    result = document("moons", TINY, runs[:1])
    assert result["methods"]["vfm"] == runs[0].methods["vfm"].metrics
    assert "range" not in result
    assert set(winners(result)) == {"1", "4"}


def test_document_of_several_seeds_has_medians_in_the_range(runs):
    result = document("moons", TINY, runs)
    low, high = result["range"]["noise_floor_w2"]
    assert low <= result["noise_floor_w2"] <= high
    assert result["noise_floor_w2"] in [run.floor for run in runs]
    usage = result["methods"]["moefm"]["experts"]["usage"]
    assert len(usage) == 8


def test_ratios_divide_by_vanilla_flow_matching():
    def method(excess, s):
        return {"by_steps": {"1": {"excess_w2": excess}}, "straightness": s}

    table = ratios({"vfm": method(2.0, 1.0), "moefm": method(0.5, 0.1)})
    assert table == {"moefm": {"excess_w2": {"1": 0.25}, "straightness": 0.1}}
    assert ratios({"vfm": method(0.0, 1.0), "moefm": method(0.5, 0.1)})["moefm"]["excess_w2"]["1"] is None
    assert ratios({"moefm": method(0.5, 0.1)}) == {}


def test_combine_refuses_documents_of_different_shape():
    with pytest.raises(ValueError, match="zip"):
        combine([[1.0], [1.0, 2.0]], max)
