"""Loss of the length head: by hand, and its gradient stays in the head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from toys import Batch

from yanlm.objectives.length import length_loss


def test_spans_count_by_their_tokens_and_rows_by_their_seeds(make_model: Any, spans_batch: Batch) -> None:
    model, totals = make_model(max_span=2), torch.tensor([0.0, 7.0])
    spans_batch["span_lengths"] = torch.tensor([[2, 5], [2, 1], [1, 0]])
    total = 0.0
    for row in (0, 2):  # those whose seed is a multiple of 4
        seen = spans_batch["collapsed_mask"][row]
        logits = model.length_head(model.encode(spans_batch["collapsed_ids"][row][seen][None]))[0]
        for at, span in zip(spans_batch["span_positions"][row], spans_batch["span_lengths"][row], strict=True):
            if span > 0:
                length = span.clamp_max(2)  # the most that the head can say
                total += float(length * F.cross_entropy(logits[at].detach(), length - 1))
    assert length_loss(model, spans_batch, [4, 2, 8], totals).item() == pytest.approx(4 * total / 7, rel=1e-4)
    assert length_loss(model, spans_batch, [1, 2, 3], totals) == 0
    assert length_loss(model, spans_batch, [1, 2, 3], torch.zeros(2)) == 0


def test_only_the_head_learns_from_it(make_model: Any, spans_batch: Batch) -> None:
    model = make_model()
    length_loss(model, spans_batch, [4, 8, 12], torch.tensor([1.0, 1.0])).backward()
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"length_head"}
