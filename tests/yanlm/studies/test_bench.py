"""The bench: what its numbers are, what stands beside what, and mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from yanlm.runs.presets import PRESETS
from yanlm.studies import bench as module
from yanlm.studies.bench import bench, bench_figure
from yanlm.studies.tools import rivals
from yanlm.training.compilation import compile_blocks

QUICK: dict[str, Any] = {"preset": "tiny", "repeats": 1, "clock": "cpu"}


@pytest.fixture(autouse=True)
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of round numbers, which nobody has to measure, and a preset that takes no time."""
    monkeypatch.setattr(module, "measured_rates", lambda *_: {"matrix_tflops": 2.0, "copy_gb_per_s": 10.0})
    small = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0]}
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], model=small))


def test_rows_parts_and_shares() -> None:
    heard: list[str] = []
    asked = {"lengths": [4, 6, 8, 10], "batches": [2], "against": ["reference", "mdlm"], "mdlm_steps": 3}
    document = bench(**QUICK, **asked, say=heard.append)
    assert {"device", "rows", "parts", "roofline"} <= document.keys()
    rows = {(row["model"], row["length"], row["batch"]): row for row in document["rows"]}
    assert set(rows) == {(m, n, 2) for m in ("yan", "reference", "mdlm") for n in (4, 6, 8, 10)}
    for (name, length, batch), row in rows.items():
        assert row["low"] <= row["seconds"] <= row["high"]
        assert row["tokens_per_second"] == pytest.approx(length * batch / row["seconds"])
        assert row["ratio_to_yan"] == pytest.approx(row["seconds"] / rows["yan", length, batch]["seconds"])
        assert row["evaluations"] == 3 and row["parameters"] == rows[name, 4, 2]["parameters"]
    cell = document["roofline"]["cells"]["L = 8, batch = 2"]
    seconds = rows["yan", 8, 2]["seconds"]
    assert cell["share_of_matrix_rate"] == pytest.approx(cell["tflop"] / 2 / seconds)
    assert cell["share_of_copy_rate"] == pytest.approx(cell["weights_gb"] / 10 / seconds)
    assert set(document["parts"]["L = 4, batch = 2"]) >= {"encoder", "source_keys", "trunk_per_step", "head"}
    assert set(document["fit"]) == {f"{m}, batch = 2" for m in ("yan", "reference", "mdlm")}
    assert any(line.startswith("yan: 0.0M parameters") for line in heard) and any(
        "L = 10, batch = 2" in line for line in heard
    )
    assert [len(ax.lines) for ax in bench_figure(document).axes] == [3, 4]


def test_training_has_both_stages() -> None:
    document = bench(**QUICK, lengths=[8], batches=[2], train=True, against=["mdlm"])
    names = [row["model"] for row in document["rows"]]
    assert names == ["yan, stage 1", "yan, stage 2", "mdlm"] and document["settings"]["rate"] == 0.15
    assert document["rows"][0]["ratio_to_yan"] == 1
    cells = document["roofline"]["cells"]
    assert cells["L = 8, batch = 2, yan, stage 2"]["tflop"] > cells["L = 8, batch = 2, yan, stage 1"]["tflop"] > 0
    assert bench_figure(document).axes[0].get_ylabel() == "seconds of an optimizer step"


def test_compiled_blocks_stand_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "compile_blocks", lambda model: compile_blocks(model, backend="aot_eager"))
    document = bench(**QUICK, lengths=[8], batches=[2], train=True, compile=True)
    names = [row["model"] for row in document["rows"]]
    assert names == ["yan, stage 1", "yan, stage 2", "yan compiled, stage 1", "yan compiled, stage 2"]
    cells = list(document["roofline"]["cells"].values())
    assert cells[0]["tflop"] == pytest.approx(cells[2]["tflop"]) and cells[1]["tflop"] == pytest.approx(
        cells[3]["tflop"]
    )


def test_bfloat16_leaves_the_reference_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes = {}

    def heard(entered: Any, *rest: Any) -> dict[str, Any]:
        dtypes.update({entry.label: next(iter(entry.named.model.parameters())).dtype for entry in entered})
        return {entry.label: {"seconds": [1.0], "nfe": 1, "peak_memory_gb": None} for entry in entered}

    monkeypatch.setattr(module, "timed", heard)
    bench(**QUICK, lengths=[4], against=["reference", "mdlm"], precision="bfloat16")
    assert dtypes == {"yan": torch.bfloat16, "reference": torch.float32, "mdlm": torch.bfloat16}


def test_trained_models(toys: Path) -> None:
    heard: list[str] = []
    asked: dict[str, Any] = {"lengths": [8, 4000], "repeats": 1, "rate": 0.5, "clock": "cpu"}
    document = bench(model=toys / "flow", **asked, say=heard.append)
    assert [row["length"] for row in document["rows"]] == [8] and any("above 48" in line for line in heard)
    document = bench(model=toys / "encoder", **asked)
    assert document["rows"] and not document["parts"] and not document["roofline"]["cells"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": None}, "--preset NAME"),
        ({"model": Path("m")}, "one of them"),
        ({"preset": "huge"}, "preset must be one of"),
        ({"lengths": [0]}, "lengths"),
        ({"batches": [0]}, "batch"),
        ({"steps": 0}, "steps"),
        ({"rate": 0.0}, "rate"),
        ({"repeats": 0}, "repeats"),
        ({"slow": 0}, "slow"),
        ({"clock": "sun"}, "clock"),
        ({"clock": "cpu", "device": "cuda"}, "clock cpu does not see"),
        ({"precision": "float8"}, "precision"),
        ({"against": ["elmo"]}, "against"),
        ({"train": True, "against": ["reference"]}, "no reference"),
        ({"compile": True}, "compile is of training"),
    ],
)
def test_mistakes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bench(**{"preset": "tiny", "lengths": [4]} | change)


def test_a_model_that_is_no_flow(toys: Path) -> None:
    with pytest.raises(ValueError, match="model must be a flow, got 'mlm'"):
        bench(model=toys / "mlm", lengths=[4])
    with pytest.raises(ValueError, match="lengths must be at most 48"):
        bench(model=toys / "flow", lengths=[400])


def test_without_the_repository_there_is_no_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rivals, "REFERENCE", tmp_path / "reference.py")
    rivals.load_reference.cache_clear()
    with pytest.raises(ValueError, match="only a clone of the repository has"):
        bench(**QUICK, lengths=[4], against=["reference"])
