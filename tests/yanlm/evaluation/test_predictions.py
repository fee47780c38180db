"""Predictions as JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from oracle import EXPECTED, ROWS

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.predictions import read_predictions, write_predictions
from yanlm.tokenization.examples import Builder


def test_predictions_are_json_lines(make_model: Callable[..., Any], builder: Builder, tmp_path: Path) -> None:
    found = evaluate_task(make_model(), builder, ROWS["qa"], ROWS["qa"], "qa", steps=(1, 2))
    write_predictions(tmp_path / "p.jsonl", found.predictions)
    assert read_predictions(tmp_path / "p.jsonl") == found.predictions
    strange = [{"prediction": "a\u2028b\x85c\rd\x1ce"}] * 2
    write_predictions(tmp_path / "strange.jsonl", strange)
    assert read_predictions(tmp_path / "strange.jsonl") == strange
    first = found.predictions[0]
    assert (first["id"], first["task"], first["steps"], first["seed"], first["sample"]) == (0, "qa", 1, 0, 0)
    assert first["source"] == "the cat sat on the mat . where ? <mask>" and first["references"] == ["the mat", "mat"]
    assert set(first["scores"]) == EXPECTED["qa"]
