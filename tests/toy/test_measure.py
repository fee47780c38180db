"""What samples are compared with, and the numbers that come of it."""

import dataclasses
import math

import pytest
import torch
from toy_runs import TINY

from moefm.diagnostics import w2
from moefm_toy.datasets import load_dataset
from moefm_toy.experiment import run_seed
from moefm_toy.measure import draw_clouds
from moefm_toy.settings import generator


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


def test_measured_numbers_are_those_of_the_samples(runs):
    dataset = load_dataset("moons")
    run = run_seed(dataset, dataclasses.replace(TINY, clouds=1), 0)
    row = run.methods["moefm"].metrics["by_steps"]["4"]
    assert row["w2"] == pytest.approx(w2(run.methods["moefm"].samples[4].z1, run.data))
    row = runs[0].methods["moefm"].metrics["by_steps"]["4"]
    assert row["excess_w2"] == pytest.approx(math.sqrt(max(row["w2"] ** 2 - runs[0].floor ** 2, 0)))
