"""The encoder: padding changes nothing, long texts are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from toys import trimmed

from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]


def test_padding_never_changes_an_encoding(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    states = model.encode(batch["source_ids"], batch["source_mask"])
    assert not states[~batch["source_mask"]].any()
    for row in range(3):
        one = trimmed(batch, row)
        for mask in (one["source_mask"], None):
            alone = model.encode(one["source_ids"], mask)
            torch.testing.assert_close(states[row : row + 1, : alone.shape[1]], alone, atol=2e-6, rtol=1e-4)


def test_texts_longer_than_the_model_are_refused(make_model: Make) -> None:
    with pytest.raises(ValueError, match="max_length=48"):
        make_model().encode(torch.zeros(1, 49, dtype=torch.long))
