"""The network under every model with a flow: encoder, condition, decoder, latent flow and length head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from moefm.generators import fork
from moefm.scope import share_first
from yanlm.config import YanConfig
from yanlm.nn.autoencoder import Decoder, Encoder, Positions
from yanlm.nn.condition import Condition, Readings
from yanlm.nn.denoiser import EncoderFlow
from yanlm.nn.flow import LatentFlow
from yanlm.nn.places import Places
from yanlm.nn.slots import slot_groups
from yanlm.tokenization.collation import Batch


class YanNetwork(nn.Module):
    """Modules of :class:`yanlm.modeling.yan.YanModel`, and how they are called; no loss and no generation.

    It knows nothing of Hugging Face, whose models take longer to import than torch: its subclasses say what they build
    on, and call :meth:`build`.

    With the methods ``mlm`` and ``mdlm`` there is no flow, and the decoder reads tokens off the encoder's states.

    Attributes:
        positions: Table of learned positions, or ``None``.
        encoder: Tokens to latents.
        flow: Noise to latents given the source; ``None`` without a flow.
        decoder: Latents to tokens.
        length_head: States ``(..., d)`` at single masks to logits ``(..., max_span)`` of the number of tokens there.
    """

    config: YanConfig

    def build(self, config: YanConfig) -> None:
        """Make the modules."""
        self.positions = Positions(config) if config.positions == "learned" else None
        self.encoder = Encoder(config)
        if config.method != "flow" and config.form != "slots":
            raise ValueError(f"method {config.method!r} needs form='slots', got {config.form!r}")
        # None without a flow; the type is that of the paper's, and ``denoiser`` is the same object as the other one.
        kind = EncoderFlow if config.denoiser == "encoder" else LatentFlow
        self.flow = cast(LatentFlow, kind(config) if config.method == "flow" else None)
        self.decoder = Decoder(config)
        self.length_head = nn.Sequential(
            nn.Linear(config.d_model, config.d_model), nn.GELU(), nn.Linear(config.d_model, config.max_span)
        )

    @property
    def denoiser(self) -> EncoderFlow:
        """The flow, if the encoder is its denoiser."""
        return cast(EncoderFlow, self.flow)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def encode(self, ids: Tensor, mask: Tensor | None = None, marks: Tensor | None = None) -> Tensor:
        """Latents ``(B, L, d)`` of tokens ``(B, L)``; ``marks`` ``(B, d)`` are added to every mask of a row."""
        states: Tensor = self.encoder(ids, mask, self.positions, marks)
        return states

    def condition(
        self,
        states: Tensor,
        ids: Tensor,
        mask: Tensor | None,
        slots: Tensor,
        slot_mask: Tensor | None,
    ) -> Condition:
        """The source as the flow sees it.

        Args:
            states: Encoding of the source ``(B, S, d)``.
            ids: Its tokens ``(B, S)``.
            mask: ``(B, S)``, True = a token.
            slots: Positions of the slots ``(B, M)``.
            slot_mask: ``(B, M)``, True = a slot.
        """
        flow, positions = self.flow, self.positions
        cond = flow.condition(states, mask, slots, slot_mask, positions)
        if flow.marks is None:
            return cond

        def read(index: Tensor) -> Condition:
            times = index.numel() // len(ids)
            tokens, places = ids.repeat_interleave(times, 0), slots.repeat_interleave(times, 0)
            token_mask, place_mask = (None if x is None else x.repeat_interleave(times, 0) for x in (mask, slot_mask))
            marks = cast(Tensor, flow.marks)[index.flatten()]
            states = self.encode(tokens, token_mask, marks)
            return flow.condition(states, token_mask, places, place_mask, positions)

        return cond._replace(readings=Readings(read, flow.num_experts, ids.device))

    def places(
        self,
        ids: Tensor,
        mask: Tensor | None,
        slots: Tensor,
        slot_mask: Tensor | None = None,
        streams: Sequence[torch.Generator] = (),
        points: Tensor | None = None,
    ) -> Places:
        """The source as a flow sees it whose denoiser is the encoder.

        Args:
            ids: Tokens ``(B, S)``, with the mask at the slots.
            mask: ``(B, S)``, True = a token.
            slots: Ascending positions ``(B, M)``.
            slot_mask: ``(B, M)``, True = a slot.
            streams: A generator a row, from which the experts of a continuum are drawn.
            points: The result of :meth:`draw_points`, instead of ``streams``.
        """
        scope = slot_groups(slots, self.config.scope, ids, self.config.sentence_ends)
        embedded = self.encoder.embed(ids, self.positions)
        if points is None:
            points = self.draw_points(slots.shape[1], streams)
        if points is not None:  # the slots of a group share the first of their numbers
            first = points.to(embedded).transpose(1, 2)
            points = share_first(first, None if scope is None else scope.unsqueeze(1).expand_as(first)).transpose(1, 2)
        return Places(self.encoder, self.decoder, embedded, mask, slots, slot_mask, scope, points)

    def draw_points(self, slots: int, streams: Sequence[torch.Generator]) -> Tensor | None:
        """One number for every slot and expert of a continuum, ``(B, M, K)`` on the CPU; ``None`` without one."""
        if self.denoiser.line is None:
            return None
        shape = (slots, self.denoiser.num_experts)
        return torch.stack([torch.rand(shape, generator=fork(source)) for source in streams])

    @staticmethod
    def counts(batch: Batch) -> Tensor:
        """Numbers of target tokens and of slots in a batch, float ``(2,)``: what the losses are means over."""
        return torch.stack([batch["target_mask"].sum(), batch["slot_mask"].sum()]).float()
