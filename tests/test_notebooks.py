"""The notebooks of examples/ run from top to bottom, at toy size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
SMALL = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0], "max_length": 64}
TOY: dict[str, dict[str, Any]] = {
    "table": {"train_steps": 20},
    "language_model": {
        "minutes": None,
        "settings": {"data": "builtin:rooms", "model": SMALL, "steps1": 2, "steps2": 2, "eval_rows": 4, "seed": 0},
    },
}
"""What replaces the cell of parameters."""


def cells(name: str) -> list[dict[str, Any]]:
    notebook = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]


def test_every_notebook_is_known() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.ipynb")} == set(TOY)


@pytest.mark.parametrize("name", TOY)
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)


@pytest.mark.parametrize("name", TOY)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    replaced = set()
    with torch.random.fork_rng(devices=[]):
        for number, cell in enumerate(cells(name)):
            if cell["cell_type"] != "code":
                continue
            exec(compile(cell["source"], f"{name}.ipynb, cell {number}", "exec"), namespace)
            if "parameters" in cell["metadata"].get("tags", []):
                replaced = set(TOY[name])
                assert replaced <= namespace.keys()
                namespace |= TOY[name]
    assert replaced and not list(tmp_path.iterdir())
