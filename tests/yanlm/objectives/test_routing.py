"""Routing losses: gradients of every part, and halves of a batch add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import TEXT_ROWS

from yanlm.modeling.yan import YanModel
from yanlm.objectives.settings import Stage1, Stage2
from yanlm.objectives.stage2 import stage2_loss
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]


@pytest.fixture
def batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    rows = [{"text": text} for text in TEXT_ROWS]
    return Builder(tokenizer, max_length=48).batch(rows, [1, 2, 3], with_lengths=True)


OPTIONS: dict[str, dict[str, str]] = {
    "token": {},
    "span": {"scope": "span"},
    "trunk": {"scope": "sequence", "experts": "trunk"},
    "source": {"scope": "sequence", "experts": "source"},
}


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize(("ce", "objective"), [("mixture", "paper"), ("mixture", "consistent"), ("posterior", "paper")])
def test_gradients_and_halves_of_a_batch(
    make_model: Make, batch: dict[str, torch.Tensor], kind: str, ce: str, objective: str
) -> None:
    """The mixture cross-entropy trains every part of the flow, and two halves add up to the whole."""
    model = make_model(**OPTIONS[kind])
    model.stage1, model.stage2 = Stage1(mmd=0.0), Stage2(ce=ce, objective=objective, freeze="none", length=0.0)
    model.prepare_stage(2)
    seeds, totals = [4, 2, 8], model.counts(batch)
    loss, parts = stage2_loss(model, batch, model.stage2, model.stage1, seeds, totals)
    loss.backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("length_head"):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    halves = [
        stage2_loss(
            model, {name: x[rows] for name, x in batch.items()}, model.stage2, model.stage1, seeds[rows], totals / 2
        )[0]
        / 2
        for rows in (slice(0, 2), slice(2, 3))
    ]
    assert float(sum(halves)) == pytest.approx(float(loss), rel=1e-4)
    assert {"mixture", "ce"} <= parts.keys()
