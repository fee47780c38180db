"""Cross-entropy of decoded tokens: against torch, and parts of a mean add up."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from yanlm.objectives.token_loss import decoded_loss, token_mean


@given(st.lists(st.floats(-50, 50, width=32), max_size=20), st.integers(0, 20))
def test_parts_of_a_mean_add_up(values: list[float], at: int) -> None:
    whole, total = torch.tensor(values), torch.tensor(float(len(values)))
    parts = token_mean(whole[:at], total) + token_mean(whole[at:], total)
    torch.testing.assert_close(parts, whole.mean() if values else torch.tensor(0.0), atol=1e-4, rtol=1e-4)


def test_only_the_places_of_the_mask_are_decoded(make_model: Any) -> None:
    model, draw = make_model(), torch.Generator().manual_seed(0)
    z, labels = torch.randn(2, 5, 16, generator=draw), torch.randint(0, 200, (2, 5), generator=draw)
    where = torch.tensor([[True, False, True, False, False], [False, False, False, True, True]])
    wanted = F.cross_entropy(model.decoder(z)[where], labels[where], reduction="none")
    torch.testing.assert_close(decoded_loss(model, z, labels, where), wanted)
    assert not len(decoded_loss(model, z, labels, where & False))
