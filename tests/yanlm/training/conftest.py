"""Every test of a stage begins with no accelerator and writes no tensorboard files."""

import pytest


@pytest.fixture(autouse=True)
def board(monkeypatch):
    """What would go to tensorboard: (name, value, step) of every number."""
    scalars = []

    class Board:
        def __init__(self, folder, purge_step):
            scalars.clear()

        def add_scalar(self, name, value, global_step):
            scalars.append((name, value, global_step))

        def flush(self):
            pass

        def close(self):
            pass

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", Board)
    return scalars


@pytest.fixture(autouse=True)
def begins_without_accelerator(fresh_accelerate):
    """Also where a test does not ask for it."""
