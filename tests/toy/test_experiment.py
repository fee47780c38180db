"""The toy experiment: budgets, fairness, determinism, and what it reports."""

import dataclasses
import math

import pytest
import torch

from moefm.diagnostics import w2
from moefm_toy.datasets import load_dataset
from moefm_toy.experiment import build_field, parameters, run_seed
from moefm_toy.measure import draw_clouds
from moefm_toy.report import combine, document, ratios, winners
from moefm_toy.settings import Settings, generator

TINY = Settings(train_steps=3, points=60, hidden=16, steps=(1, 4))


@pytest.fixture(scope="module")
def runs():
    return [run_seed(load_dataset("moons"), TINY, seed) for seed in (0, 1, 2)]


@pytest.mark.parametrize("dim, experts", [(2, 8), (2, 9), (2, 64), (8, 10), (16, 30)])
def test_mixtures_get_the_parameters_of_the_single_field_or_just_fewer(dim, experts):
    budget, mixture = (parameters(build_field(dim, k, 128, seed=0)) for k in (1, experts))
    assert 0.97 * budget < mixture <= budget


def test_fields_depend_on_the_seed_and_not_on_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_field(2, 4, 16, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = build_field(2, 4, 16, seed=1), build_field(2, 4, 16, seed=2)
    assert torch.equal(first.out.weight, again.out.weight)
    assert not torch.equal(first.out.weight, other.out.weight)


def test_streams_of_a_seed_and_of_its_neighbours_differ():
    draws = {tuple(torch.rand(3, generator=generator(s, k)).tolist()) for s in range(4) for k in range(6)}
    assert len(draws) == 24


def test_noise_floor_is_that_of_independent_draws():
    clouds = draw_clouds(load_dataset("moons"), 300, seed=0, clouds=3)
    again = load_dataset("moons").draw(300, generator(99, 0))
    assert 0.5 < w2(again, clouds.held_out[0]) / clouds.floor < 2
    assert [len(data) for data in (*clouds.held_out, clouds.fresh)] == [300] * 4
    assert len(torch.unique(torch.cat(clouds.held_out), dim=0)) == 900
    assert len(clouds.support) > 300


@pytest.mark.parametrize("name", ["digits", "iris"])
def test_clouds_of_finite_data_do_not_repeat_points(name):
    dataset = load_dataset(name)
    (data,), support, _, floor = draw_clouds(dataset, 1000, seed=0, clouds=3)
    assert len(data) == dataset.max_test
    assert len(support) == dataset.max_train
    everything = dataset.draw_distinct(dataset.max_train, generator(1, 0))
    assert torch.equal(support.sort(0).values, everything.sort(0).values)  # each row once
    assert floor > 0


def test_every_method_sees_the_same_noise_and_data(runs):
    run = runs[0]
    starts = [method.fine.trajectory[0] for method in run.methods.values()]
    assert all(torch.equal(starts[0], start) for start in starts)
    assert all(method.metrics["by_steps"]["4"]["nfe"] == 4 for method in run.methods.values())


def test_measured_numbers_are_those_of_the_samples(runs):
    dataset = load_dataset("moons")
    run = run_seed(dataset, dataclasses.replace(TINY, clouds=1), 0)
    row = run.methods["moefm"].metrics["by_steps"]["4"]
    assert row["w2"] == pytest.approx(w2(run.methods["moefm"].samples[4].z1, run.data))
    row = runs[0].methods["moefm"].metrics["by_steps"]["4"]
    assert row["excess_w2"] == pytest.approx(math.sqrt(max(row["w2"] ** 2 - runs[0].floor ** 2, 0)))


def test_the_consistent_loss_gets_half_the_pairs(monkeypatch):
    import moefm_toy.experiment as experiment

    sizes = {}

    def spy(field, data, goal, *, batch_size, **rest):
        sizes[type(goal).__name__] = batch_size * goal.evaluations
        return real(field, data, goal, batch_size=batch_size, **rest)

    real = experiment.fit
    monkeypatch.setattr(experiment, "fit", spy)
    run_seed(load_dataset("moons"), TINY, 0)
    assert sizes == {"VFM": 256, "MoEFM": 256, "ConsistentMoEFM": 256}


def test_training_helps():
    settings = dataclasses.replace(TINY, train_steps=300, hidden=64, methods=("consistent",), points=200)
    run = run_seed(load_dataset("moons"), settings, 0)
    untrained = run_seed(load_dataset("moons"), dataclasses.replace(settings, train_steps=1), 0)
    got, start = (r.methods["consistent"].metrics["by_steps"]["4"]["w2"] for r in (run, untrained))
    assert got < 0.75 * start


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
