"""The network of models with a flow: its parts by method, what its losses are means over, marked readings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]
ROWS = [{"text": "the cat sat on the mat"}, {"text": "the old town"}]


@pytest.mark.parametrize("method", ["flow", "mlm", "mdlm"])
def test_parts_follow_the_method(make_model: Make, method: str) -> None:
    model = make_model(method=method, max_span=5)
    assert (model.flow is None) == (method != "flow") and model.positions is None
    assert model.length_head(torch.zeros(2, 3, 16)).shape == (2, 3, 5)
    with pytest.raises(ValueError, match="needs form='slots'"):
        make_model(method="mlm", form="separate")


def test_counts_are_those_of_tokens_and_slots(make_model: Make, builder: Builder) -> None:
    batch = builder.batch(ROWS, [1, 2])
    tokens, slots = make_model().counts(batch).tolist()
    assert tokens == sum(len(builder.example(row, 0).target) for row in ROWS)
    assert slots == float((batch["source_ids"] == make_model().config.mask_token_id).sum())


def test_marked_readings_are_read_when_an_expert_asks(make_model: Make, builder: Builder) -> None:
    batch = builder.batch(ROWS, [1, 2])
    given = [batch[name] for name in ("source_ids", "source_mask", "slots", "slot_mask")]
    for options in ({}, {"scope": "sequence", "experts": "source"}):
        model = make_model(**options)
        cond = model.condition(model.encode(batch["source_ids"], batch["source_mask"]), *given)
        assert (cond.readings is None) == (model.flow.marks is None) == (options == {})
