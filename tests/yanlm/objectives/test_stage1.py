"""Loss of the autoencoder: what the regularizer looks at, and a share of the known tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanlm.modeling.yan import YanModel
from yanlm.objectives.settings import Stage1
from yanlm.objectives.stage1 import regularizer_tokens

Make = Callable[..., YanModel]


def test_the_regularizer_looks_at_evenly_spaced_tokens_of_every_row() -> None:
    mask = torch.arange(9) < torch.tensor([9, 4, 1, 0])[:, None]
    mask[0, 3] = False  # no position counts that the mask leaves out
    z = torch.arange(36.0).view(4, 9, 1)
    assert regularizer_tokens(z, mask, 12).flatten().tolist() == [0, 4, 7, 9, 11, 18]
    assert regularizer_tokens(z, mask, 1).flatten().tolist() == [0, 9, 18]  # one of each row that has any
    assert torch.equal(regularizer_tokens(z, mask, 1000), z[mask])


def test_a_share_of_the_known_tokens_stands_for_all(model: YanModel, stage_batches: Any) -> None:
    """Over seeds the reconstruction of a share has the mean of the whole, and costs a share of the decoding."""
    batch = stage_batches[1]
    model.eval()
    decoded: list[int] = []
    loss = model.decoder.loss
    model.decoder.loss = lambda z, labels: (decoded.append(len(labels)), loss(z, labels))[1]  # type: ignore[method-assign]
    with torch.no_grad():
        model.stage1 = Stage1(mmd=0.0, noise=0.0)
        whole = model(**batch, stage=1, seeds=[1, 2, 3]).parts
        every, masked = decoded
        model.stage1 = Stage1(mmd=0.0, noise=0.0, known=0.3)
        shares = [model(**batch, stage=1, seeds=[n, n + 999, n + 5000]).parts for n in range(300)]
    assert all(part["slot_ce"] == whole["slot_ce"] for part in shares) and set(decoded[3::2]) == {masked}
    assert sum(decoded[2::2]) / 300 == pytest.approx(0.3 * every, rel=0.1)
    assert sum(float(part["ce"]) for part in shares) / 300 == pytest.approx(float(whole["ce"]), rel=0.1)
    model.stage1 = Stage1(mmd=0.0, noise=0.0, known=0.0)
    none = model(**batch, stage=1, seeds=[1, 2, 3]).parts
    assert none["ce"] == 0 and none["slot_ce"] == whole["slot_ce"]
