"""Small flows that are trained in a moment, for all tests of the estimator."""

import numpy as np
import pandas as pd
import pytest

from moefm.sklearn import MoEFlow


@pytest.fixture(scope="session")
def quick():
    """An estimator of two experts and a few steps, with options: ``quick(loss="paper")``."""
    small = {"n_experts": 2, "coupling": "independent", "hidden": 16, "layers": 1, "train_steps": 10}
    return lambda **options: MoEFlow(**{**small, **options})


@pytest.fixture(scope="session")
def people():
    """A data frame of 60 rows with a column of every kind."""
    random = np.random.RandomState(0)
    job = random.choice(["baker", "pilot"], 60)
    return pd.DataFrame(
        {
            "height": random.normal(170, 9, 60),
            "age": random.randint(18, 80, 60),
            "job": job,
            "member": random.rand(60) < 0.4,
            "land": "DE",
        }
    )
