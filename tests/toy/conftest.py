"""Data sets of every kind and tiny runs that the tests of points share."""

import sys
from pathlib import Path

import numpy as np
import pytest

from moefm_toy.datasets import Dataset, load_dataset
from moefm_toy.experiment import SeedRun, run_seed

sys.path.insert(0, str(Path(__file__).parent))  # the tests share toy_runs.py
from toy_runs import MEMBERS, TINY


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    path = tmp_path_factory.mktemp("data") / "my.points.npy"
    np.save(path, np.random.default_rng(0).normal([5e8, -3.0, 0.0], [2.0, 1e-3, 40.0], (200, 3)))
    return {name: load_dataset(path if name == "file" else name) for name in MEMBERS}


@pytest.fixture(scope="session")
def runs() -> list[SeedRun]:
    return [run_seed(load_dataset("moons"), TINY, seed) for seed in (0, 1, 2)]
