"""Models made anew."""

from __future__ import annotations

from collections.abc import Callable

import torch

from yanlm.modeling.build import with_flow
from yanlm.modeling.yan import YanModel


def test_another_flow_on_the_same_autoencoder(make_model: Callable[..., YanModel]) -> None:
    model = make_model()
    own = {"cross_layers": [0, 1], "d_time": 8, "sigma": 0.1}
    assert with_flow(model, own, 0) is model
    other = with_flow(model, {**own, "num_experts": 6}, 0)
    assert other.config.num_experts == 6 and other.flow.num_experts == 6
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(other.encode(ids), model.encode(ids))
    assert torch.equal(other.decoder(model.encode(ids)), model.decoder(model.encode(ids)))
