"""One thread and two give the same results within rounding, for every command that computes."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from moefm_cli.moefm import app as moefm_app
from moefm_cli.yanlm import app as yanlm_app

CONFIG = """
data = ["builtin:rooms"]
eval_rows = 6
log_every = 1
tokenizer = "bpe:300"
[model]
d_model = 16
num_heads = 2
encoder_layers = 1
flow_layers = 1
cross_layers = [0]
max_length = 96
[recipe1]
batch_size = 4
[recipe2]
batch_size = 4
"""
ROOMS = ("--data", "builtin:rooms", "--json")
COMMANDS: dict[str, tuple[str, ...]] = {
    "toy": ("moefm", "toy", "--train-steps", "3", "--points", "40", "--hidden", "16", "--steps", "1,2", "--json"),
    "train": ("yanlm", "train", "--config", "c.toml", "--steps1", "3", "--steps2", "3", "--out", "run", "--json"),
    "mdlm": ("yanlm", "train", "--baseline", "mdlm", "--config", "c.toml", "--steps1", "3", "--out", "mdlm", "--json"),
    "gpt2": ("yanlm", "train", "--baseline", "gpt2", "--config", "c.toml", "--steps1", "3", "--out", "gpt2", "--json"),
    "generate": (
        "yanlm",
        "generate",
        "--model",
        "run",
        "Where is <mask> ?",
        "--length",
        "2",
        "--samples",
        "3",
        "--json",
    ),
    "evaluate": ("yanlm", "evaluate", "--model", "run", "--task", "qa", *ROOMS, "--limit", "8", "--steps", "1,2"),
    "finetune": (
        "yanlm",
        "finetune",
        "--model",
        "run",
        "--task",
        "qa",
        *ROOMS,
        "--steps",
        "3",
        "--out",
        "tuned",
        "--eval-rows",
        "12",
    ),
    "inspect": ("yanlm", "inspect", "--model", "run", "--json"),
}
DIFFER = {
    "command",
    "threads",
    "seconds",
    "seconds_range",
    "train_seconds",
    "tokens_per_second",
    "tokens_per_second_range",
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, dict[str, Any]]]:
    """What every command prints as JSON, by the number of threads."""
    patch, results = pytest.MonkeyPatch(), {}
    for threads in (1, 2):
        folder = tmp_path_factory.mktemp(f"threads-{threads}")
        (folder / "c.toml").write_text(CONFIG)
        patch.chdir(folder)
        torch.set_num_threads(threads)
        results[threads] = {name: printed(command, folder, patch) for name, command in COMMANDS.items()}
    torch.set_num_threads(1)
    patch.undo()
    yield results


def printed(command: tuple[str, ...], folder: Path, patch: pytest.MonkeyPatch) -> Any:
    out = folder / "out.json"
    with out.open("w") as file:
        patch.setattr(sys, "argv", list(command))
        patch.setattr(sys, "stdout", file)
        with pytest.raises(SystemExit) as stop:
            (moefm_app if command[0] == "moefm" else yanlm_app).main()
    assert stop.value.code == 0, command
    return json.loads(out.read_text())


def assert_close(one: Any, two: Any, where: str) -> None:
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one.keys() - DIFFER:
            assert_close(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(two), where
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_close(a, b, f"{where}[{i}]")
    elif isinstance(one, float):
        assert math.isclose(one, two, rel_tol=1e-3, abs_tol=1e-4), f"{where}: {one} and {two}"
    else:
        assert one == two, f"{where}: {one} and {two}"


@pytest.mark.parametrize("name", COMMANDS)
def test_one_thread_and_two_agree(name: str, documents: dict[int, dict[str, Any]]) -> None:
    assert_close(documents[1][name], documents[2][name], name)
