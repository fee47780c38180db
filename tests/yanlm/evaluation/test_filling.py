"""Rows of an evaluation: samples that are part of the whole, and a source that is read once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import ROWS, TEXT, Oracle

from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.filling import ways_of
from yanlm.evaluation.protocol import protocol
from yanlm.generation.options import DEFAULTS
from yanlm.tokenization.examples import Builder

WORDS = TEXT.split()
MANY = [{"text": " ".join(WORDS[k % 9 :])} for k in range(50)]


def test_a_sample_is_part_of_the_whole(make_model: Callable[..., Any], builder: Builder) -> None:
    model, steps = make_model(), (1, 2)
    whole = evaluate_task(model, builder, [], MANY, "infill", steps=steps)
    few = evaluate_task(model, builder, [], MANY, "infill", steps=steps, limit=7)
    more = evaluate_task(model, builder, [], MANY, "infill", steps=steps, limit=9)
    ids = [{entry["id"] for entry in some.predictions} for some in (few, more)]
    assert len(ids[0]) == 7 and ids[0] < ids[1] and ids[0] != set(range(7))
    assert few.predictions == [entry for entry in whole.predictions if entry["id"] in ids[0]]
    assert (few.report["n"], few.report["rows"], whole.report["n"]) == (7, 50, 50)
    assert evaluate_task(model, builder, [], MANY, "infill", steps=steps, limit=60).predictions == whole.predictions


def test_a_time_ends_an_evaluation(builder: Builder) -> None:
    model: Any = Oracle(builder, MANY, "infill", lambda truth: truth)
    heard: list[tuple[str, int, int]] = []
    given: dict[str, Any] = {"steps": [1], "hear": lambda *told: heard.append(told), "batch_size": 10}
    report = evaluate_task(model, builder, [], MANY, "infill", seconds=1e-6, **given).report
    assert (report["n"], report["rows"]) == (20, 50) and heard == [("rows", 10, 20), ("rows", 20, 20)]
    low, high = report["by_steps"]["1"]["masked_accuracy_ci95"]
    assert low <= report["by_steps"]["1"]["masked_accuracy"] <= high
    assert evaluate_task(model, builder, [], MANY, "infill", seconds=1e6, **given).report["n"] == 50


@pytest.mark.parametrize(
    ("task", "more"), [("infill", {}), ("classify", {"labels": "known"}), ("qa", {"length": "predicted"})]
)
def test_a_source_is_read_once_for_all_steps(
    make_model: Callable[..., Any], tokenizer: Any, monkeypatch: pytest.MonkeyPatch, task: str, more: dict[str, Any]
) -> None:
    padding: dict[str, Any] = {"lengths": "padding", "pad_to": 4} if task == "classify" else {}
    model, builder = make_model(pad_to=padding.get("pad_to", 0)), Builder(tokenizer, max_length=48, **padding)
    rows, seeds = ROWS[task], (0, 1)
    calls: list[int] = []
    encode = type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda *given: (calls.append(1), encode(*given))[1])
    together = evaluate_task(model, builder, rows, rows, task, steps=(1, 3), seeds=seeds, **more)
    lengths = int(more.get("length") == "predicted") + int("length" in more)  # the length head reads it, too
    assert len(calls) <= 2 + lengths  # one warms up
    alone = [evaluate_task(model, builder, rows, rows, task, steps=[n], seeds=seeds, **more) for n in (1, 3)]
    assert together.predictions == [entry for some in alone for entry in some.predictions]
    assert together.report["one_pass"] == alone[0].report["one_pass"]
    scores = together.report["by_steps"].values()
    assert all(entry["seconds"] > 0 and entry["tokens_per_second"] > 0 for entry in scores)


def test_ways(make_model: Callable[..., Any], builder: Builder) -> None:
    model = make_model()
    given: dict[str, Any] = {"labels": "any", "length": "given", "batch_size": 4, "options": DEFAULTS}
    ways = ways_of(model, protocol(model, builder, "infill", steps=(1, 2), seeds=(3, 4), **given))
    steps = [(way.options.steps, way.seed) if way.options else None for way in ways]
    assert steps == [(1, 3), (1, 4), (2, 3), (2, 4), None]


@pytest.mark.parametrize("limits", [{"limit": 0}, {"limit": 1.5}, {"seconds": 0.0}, {"seconds": -1}])
def test_limits_are_checked(make_model: Callable[..., Any], builder: Builder, limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be"):
        evaluate_task(make_model(), builder, [], MANY, "infill", steps=[1], **limits)
