"""Slots written by models of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import ROWS

from yanlm.config import ARConfig
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.held_out import held_out_examples
from yanlm.evaluation.inference import ONE_PASS, Way, Written, one_pass, write_slots, write_ways
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.autoregressive import ARModel
from yanlm.tokenization.examples import Builder


@pytest.mark.parametrize("method", ["gpt2", "bart", "mlm", "mdlm"])
def test_other_methods(make_model: Callable[..., Any], tokenizer: Any, builder: Builder, method: str) -> None:
    ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
    if method in ("gpt2", "bart"):
        sizes = {"d_model": 16, "num_heads": 2, "layers": 2, "max_length": 48}
        model: Any = ARModel(ARConfig(method=method, vocab_size=len(tokenizer), **sizes, **ids)).eval()
    else:
        model = make_model(method=method)
    rows = ROWS["infill"]
    found = evaluate_task(model, builder, rows, rows, "infill", steps=(2, 4), seeds=(0, 1))
    assert list(found.report["by_steps"]) == (["1"] if method in ("gpt2", "bart") else ["2", "4"])
    assert found.report["seeds"] == [0] and "one_pass" not in found.report  # greedy: a second seed changes nothing
    free = evaluate_task(model, builder, rows, rows, "infill", steps=[1], length="predicted", samples=2).report
    assert free["by_steps"]["1"]["unique"] == 0.5 and "masked_accuracy" not in free["by_steps"]["1"]
    drawn = evaluate_task(model, builder, rows, rows, "infill", steps=[1], seeds=(0, 1), temperature=1.0).report
    assert drawn["seeds"] == [0, 1] and drawn["temperature"] == 1.0
    assert drawn.get("order") == ("confidence" if model.can.order else None)
    if model.can.order:
        mixed = evaluate_task(model, builder, rows, rows, "infill", steps=[2], seeds=(0, 1), order="random").report
        assert mixed["seeds"] == [0, 1] and mixed["order"] == "random"


def test_rows_behind_one_another_add_up(make_model: Callable[..., Any], builder: Builder) -> None:
    model, prompts = make_model(), held_out_examples(builder, ROWS["infill"] * 3)
    ways = [ONE_PASS, Way(GenerationOptions(steps=2), 5)]
    whole = write_ways(model, builder, prompts, ways)
    parts = [Written(), Written()]
    for places in (range(0, 4), range(4, 6)):
        more = write_ways(model, builder, [prompts[i] for i in places], ways, places=places, batch_size=3)
        for part, new in zip(parts, more, strict=True):
            part.add(new)
    assert [part.tokens for part in parts] == [way.tokens for way in whole]
    assert parts[1].experts == whole[1].experts and sum(parts[1].experts.values()) == whole[1].timing.tokens
    assert parts[1].timing.tokens == whole[1].timing.tokens and parts[1].timing.passes == [2, 2, 2]
    assert one_pass(model, builder, prompts) == whole[0].first
    assert write_slots(model, builder, prompts, GenerationOptions(steps=2), 5).tokens == whole[1].tokens
