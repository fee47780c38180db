"""A source with slots, as a flow in the encoder reads it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yanlm.nn.autoencoder import Decoder, Encoder


@dataclass(frozen=True)
class Places:
    """A source with slots, as :class:`EncoderFlow` reads it.

    Attributes:
        encoder: Reads the source.
        decoder: Reads tokens off the encoder's states.
        embedded: What the encoder's first block reads, ``(B, S, d)``.
        source_mask: ``(B, S)``, True = a token.
        slots: Positions ``(B, M)``.
        mask: ``(B, M)``, True = a slot.
        scope: Which slots share one expert ``(B, M)``, or ``None``.
        points: Points of a continuum of experts: what is drawn for every slot, in [0, 1], ``(B, M, K)``.
        codebook: Vectors of all tokens ``(V, e)``, if they are known already (:meth:`EncoderFlow.with_codebook`).
    """

    encoder: Encoder
    decoder: Decoder
    embedded: Tensor
    source_mask: Tensor | None
    slots: Tensor
    mask: Tensor | None
    scope: Tensor | None
    points: Tensor | None = None
    codebook: Tensor | None = None

    def take(self, rows: Tensor) -> Places:
        """The rows of these numbers, in this order."""
        names = ("embedded", "source_mask", "slots", "mask", "scope", "points")
        return replace(self, **{name: x[rows] for name in names if (x := getattr(self, name)) is not None})

    def repeated(self, times: int) -> Places:
        """Every row ``times`` times in a row: for several samples of one source."""
        rows = torch.arange(len(self.slots), device=self.slots.device)
        return self if times == 1 else self.take(rows.repeat_interleave(times))

    def placed(self, values: Tensor) -> Tensor:
        """What lies at slots ``(B, M, d)``, at its places in the source ``(B, S, d)``; zeros elsewhere."""
        values = values if self.mask is None else values * self.mask.unsqueeze(-1)
        at = self.slots.unsqueeze(-1).expand_as(values)
        return torch.zeros_like(self.embedded).scatter_add(1, at, values.to(self.embedded.dtype))
