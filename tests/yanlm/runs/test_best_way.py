"""What a training writes into generation_config.json."""

from __future__ import annotations

from typing import Any

import pytest

from yanlm.generation.capabilities import CAPABILITIES, DENOISING
from yanlm.runs.best_way import best_way

USUAL = {"sampler": "flow", "steps": 3}
PASS = {"sampler": "diffusion", "steps": 1}


def scores(accuracy: float, exact: float) -> dict[str, Any]:
    return {
        "masked_accuracy": accuracy,
        "masked_accuracy_ci95": [accuracy - 0.02, accuracy + 0.02],
        "exact_match": exact,
    }


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"1": (0.3, 0.1), "3": (0.2, 0.1), "one_pass": (0.35, 0.1)}, PASS),
        ({"1": (0.3, 0.1), "3": (0.2, 0.1), "one_pass": (0.21, 0.1)}, {"sampler": "flow", "steps": 1}),
        ({"1": (0.21, 0.1), "3": (0.2, 0.1), "8": (0.215, 0.2)}, USUAL),  # within the interval
        ({"3": (0.2, 0.1), "one_pass": (0.3, 0.05)}, USUAL),  # words right, and texts that do not hold together
        ({"3": (0.2, 0.1), "8": (0.3, 0.2), "one_pass": (0.25, 0.1)}, {"sampler": "flow", "steps": 8}),
        ({"3": (0.2, 0.1), "8": (0.3, 0.2), "one_pass": (0.3, 0.2)}, PASS),  # as good in fewer passes
    ],
)
def test_another_way_has_to_be_clearly_better(found: dict[str, tuple[float, float]], wanted: dict[str, Any]) -> None:
    report = {name: scores(*own) for name, own in found.items()}
    report["by_steps"] = {name: report.pop(name) for name in found if name != "one_pass"}
    assert best_way(report, DENOISING) == wanted


def test_one_pass_is_a_way_only_where_generate_has_it() -> None:
    report = {"by_steps": {"3": scores(0.2, 0.1)}, "one_pass": scores(0.4, 0.2)}
    assert best_way(report, CAPABILITIES["flow"]) == USUAL


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        ({}, "flow"),  # of stage 1
        ({"by_steps": {"3": {"masked_accuracy": 0.0, "exact_match": 0.0}}}, "flow"),  # nothing was masked
        ({"by_steps": {"tokens": scores(0.2, 0.1)}}, "gpt2"),
    ],
)
def test_where_there_is_nothing_to_choose(report: dict[str, Any], kind: str) -> None:
    assert best_way(report, CAPABILITIES[kind]) == {}


def test_one_text_decides_nothing() -> None:
    scores = {"masked_accuracy": 0.1, "exact_match": 0.0}
    better = scores | {"masked_accuracy": 0.9}
    report = {"by_steps": {"3": scores, "1": better}, "one_pass": better, "texts": 1}
    assert best_way(report, DENOISING) == {"sampler": "flow", "steps": 3}
