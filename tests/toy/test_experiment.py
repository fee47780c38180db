"""The toy experiment: budgets, fairness, determinism, and what it reports."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_runs import TINY

from moefm_toy.datasets import load_dataset
from moefm_toy.experiment import build_field, parameters, run_seed
from moefm_toy.settings import LAST


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


def test_every_method_sees_the_same_noise_and_data(runs):
    run = runs[0]
    starts = [method.fine.trajectory[0] for method in run.methods.values()]
    assert all(torch.equal(starts[0], start) for start in starts)
    assert all(method.metrics["by_steps"]["4"]["nfe"] == 4 for method in run.methods.values())


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


def test_information_time_is_trained_in_sampled_in_and_saved(tmp_path):
    settings = dataclasses.replace(TINY, methods=("vfm", "vfm-information", "consistent-information"))
    run = run_seed(load_dataset("moons"), settings, 0, folder=tmp_path)
    uniform, information, mixture = run.methods.values()
    assert uniform.field.time_change is None and mixture.field.num_experts > 1
    assert torch.equal(uniform.samples[4].times, torch.linspace(0, 1, 5))
    assert torch.equal(information.samples[4].times, information.field.time_change.grid(4, last=LAST))
    assert torch.equal(information.fine.times, uniform.fine.times)
    assert information.field.time_change.counts.sum() == 3 * 256
    assert uniform.metrics["parameters"] == information.metrics["parameters"]
    again = run_seed(load_dataset("moons"), settings, 0, folder=tmp_path, resume=True)
    assert torch.equal(again.methods["vfm-information"].samples[4].z1, information.samples[4].z1)


def test_data_sets_have_their_own_methods():
    run = run_seed(load_dataset("codes"), TINY, 0)
    assert list(run.methods) == ["vfm", "vfm-information"]


def test_on_code_words_information_time_is_ahead():
    """A short version of the table in the guide: after 300 steps uniform time has not begun to tell the words apart."""
    settings = dataclasses.replace(TINY, train_steps=300, hidden=None, points=200, steps=(4,))
    run = run_seed(load_dataset("codes"), settings, 0)
    uniform, information = (method.metrics["by_steps"]["4"]["w2"] for method in run.methods.values())
    assert information < 0.95 * uniform


def test_a_run_on_other_points_does_not_go_on(tmp_path):
    file, totals = tmp_path / "points.npy", []
    for seed in (0, 0, 1):
        np.save(file, np.random.RandomState(seed).normal(size=(50, 2)))
        run = run_seed(load_dataset(file), TINY, 0, folder=tmp_path / "run", resume=True)
        totals.append(run.methods["vfm"].metrics["train_seconds"])
    assert totals[0] == totals[1] != totals[2]
