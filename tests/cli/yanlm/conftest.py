"""A tiny run of the command, and the settings it was trained with."""

import json
import subprocess
import sys

import pytest

SMALL = """
minutes = 1.0
data = ["builtin:rooms"]
eval_rows = 20
tokenizer = "bpe:400"
[model]
d_model = 16
num_heads = 2
encoder_layers = 1
flow_layers = 1
cross_layers = [0]
max_length = 96
[recipe1]
batch_size = 4
bucket = 2
warmup = 2
[recipe2]
batch_size = 4
warmup = 2
"""


@pytest.fixture(scope="session")
def small_toml():
    """Settings of a run that takes a second."""
    return SMALL


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of three steps a stage: its folder, and what was printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.toml").write_text(SMALL)
    command = [sys.executable, "-m", "moefm_cli.yanlm.app", "train", "--config", "small.toml", "--json"]
    run = subprocess.run([*command, "--steps1", "3", "--steps2", "3"], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder / "runs" / "yanlm", json.loads(run.stdout)
