"""The encoder: padding changes nothing, long texts are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from toys import TEXT_ROWS, trimmed

from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder

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


@pytest.mark.parametrize("backbone", ["transformer", "mamba"])
def test_padding_on_the_left_changes_no_encoding_either(make_model: Make, builder: Builder, backbone: str) -> None:
    """Up to learned positions, which count from the left: rotary ones see distances alone."""
    model = make_model(backbone=backbone)
    part = builder.batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3])
    ids, lengths = part["source_ids"], part["source_mask"].sum(1).tolist()
    right = model.encode(ids, part["source_mask"])
    turned = torch.stack([row.roll(len(row) - count) for row, count in zip(ids, lengths, strict=True)])
    left = model.encode(turned, part["source_mask"].flip(1))
    for row, count in enumerate(lengths):
        torch.testing.assert_close(left[row, -count:], right[row, :count], atol=2e-5, rtol=1e-4)


def test_a_head_with_an_adapter_is_called(make_model: Make) -> None:
    class Adapted(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).index_fill(-1, torch.tensor([7]), 100.0)

    decoder, z = make_model().decoder, torch.randn(2, 3, 16)
    assert (decoder.tokens(z) != 7).any()
    decoder.head.__class__ = Adapted
    tokens, logits = decoder.best(z)
    assert (tokens == 7).all() and (logits == 100).all() and tokens.shape == logits.shape == (2, 3)
