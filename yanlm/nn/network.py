"""The network under every model with a flow: encoder, condition, decoder, latent flow and length head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from moefm.generators import fork
from moefm.scope import share_first
from yanlm.config import YanConfig, check_new_size
from yanlm.nn.autoencoder import Decoder, Encoder, Positions
from yanlm.nn.condition import Condition, Readings
from yanlm.nn.denoiser import EncoderFlow
from yanlm.nn.flow import LatentFlow
from yanlm.nn.places import Places
from yanlm.nn.slots import slot_groups
from yanlm.tokenization.collation import Batch


class YanNetwork(PreTrainedModel):
    """Modules of :class:`yanlm.modeling.yan.YanModel`, and how they are called; no loss and no generation.

    With the methods ``mlm`` and ``mdlm`` there is no flow, and the decoder reads tokens off the encoder's states.

    Attributes:
        positions: Table of learned positions, or ``None``.
        encoder: Tokens to latents.
        flow: Noise to latents given the source; ``None`` without a flow.
        decoder: Latents to tokens.
        length_head: States ``(..., d)`` at single masks to logits ``(..., max_span)`` of the number of tokens there.
    """

    config_class = YanConfig
    base_model_prefix = "yan"
    main_input_name = "source_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Block"]  # noqa: RUF012 - the name and form that Hugging Face reads

    def __init__(self, config: YanConfig) -> None:
        super().__init__(config)
        self._tied_weights_keys = (
            {"decoder.head.weight": "encoder.embedding.weight"} if config.tie_word_embeddings else {}
        )
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
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: every module initializes itself."""

    @property
    def denoiser(self) -> EncoderFlow:
        """The flow, where the encoder is its denoiser."""
        return cast(EncoderFlow, self.flow)

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.encoder.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.encoder.embedding = cast(nn.Embedding, value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the map to the vocabulary."""
        return self.decoder.head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the map to the vocabulary."""
        self.decoder.head = cast(nn.Linear, value)

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Give embedding, map to the vocabulary, vectors of tokens and ``config.vocab_size`` another number of tokens.

        Arguments and result are those of :meth:`transformers.PreTrainedModel.resize_token_embeddings`.

        Raises:
            ValueError: Padding or mask would have no place any more.
        """
        check_new_size(self.config, new_num_tokens)
        embedding: nn.Embedding = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        vectors, size = getattr(self.flow, "vectors", None), embedding.num_embeddings
        if vectors is not None and vectors.num_embeddings != size:
            resized = nn.Embedding(size, vectors.embedding_dim).to(vectors.weight)
            kept = min(vectors.num_embeddings, size)
            resized.weight.data[:kept] = vectors.weight.data[:kept]
            self.denoiser.vectors = resized
        return embedding

    def _set_gradient_checkpointing(self, *args: Any, **kwargs: Any) -> None:
        """Called by :meth:`gradient_checkpointing_enable`."""
        checkpoint = kwargs.get("gradient_checkpointing_func")
        if getattr(checkpoint, "keywords", {}).get("use_reentrant"):
            raise ValueError(
                "use_reentrant must be False: blocks read a source beside their input, whose gradient would be lost"
            )
        super()._set_gradient_checkpointing(*args, **kwargs)

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
            points: What :meth:`draw_points` drew from them, in their place.
        """
        scope = slot_groups(slots, self.config.scope, ids, self.config.sentence_ends)
        embedded = self.encoder.embed(ids, self.positions)
        if points is None:
            points = self.draw_points(slots.shape[1], streams)
        if points is not None:  # those of a group share the first of theirs
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
