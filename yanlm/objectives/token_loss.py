"""Cross-entropy of decoded tokens, as one process's part of a mean over all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


Parts = dict[str, Tensor]


def token_mean(values: Tensor, total: Tensor) -> Tensor:
    """Mean of per-token ``values`` ``(N,)``, as this process's part of a mean over ``total`` tokens."""
    return values.sum() / total.clamp_min(1)


def decoded_loss(model: YanNetwork, z: Tensor, labels: Tensor, where: Tensor) -> Tensor:
    """Cross-entropy ``(N,)`` of ``labels`` ``(B, L)`` decoded from ``z`` ``(B, L, d)`` at the N places of a mask."""
    at = where.nonzero(as_tuple=True)  # asked for once: on a GPU it waits for the device
    return model.decoder.loss(z[at], labels[at])
