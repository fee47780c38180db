"""The asymmetric autoencoder of stage 1: a deep encoder of tokens into latents, a light decoder back to tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yanlm.config import YanConfig
from yanlm.nn.best_tokens import best_tokens
from yanlm.nn.blocks import Block, FeedForward, rotary
from yanlm.nn.cross_entropy import token_cross_entropy
from yanlm.nn.norms import is_plain
from yanlm.nn.versions import Versions


class Positions(nn.Module):
    """Learned absolute positions, one table for the encoder and the flow."""

    def __init__(self, config: YanConfig) -> None:
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(config.max_length, config.d_model))

    def forward(self, positions: Tensor) -> Tensor:
        """Vectors ``(*, d)`` of integer positions ``(*,)``."""
        return self.table[positions]


class Encoder(nn.Module):
    r"""Map tokens to latents :math:`\tilde z = E_\phi(\tilde y)`, ``(B, L, d)`` (section 4.1); ends in a LayerNorm."""

    def __init__(self, config: YanConfig) -> None:
        super().__init__()
        self.head_dim = config.d_model // config.num_heads
        self.max_length = config.max_length
        self.is_rotary = config.positions == "rotary"
        self.reads_in_order = config.backbone == "mamba"
        self.mask_token_id = -1 if config.mask_token_id is None else config.mask_token_id
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        positions: Positions | None = None,
        marks: Tensor | None = None,
    ) -> Tensor:
        """Encode ``ids`` ``(B, L)``; ``mask`` ``(B, L)`` says which are tokens. Outside the mask the result is 0.

        ``marks`` ``(B, d)`` are added to every mask token of a row.
        """
        x = self.embed(ids, positions)
        if marks is not None:
            x = x + ids.eq(self.mask_token_id).unsqueeze(-1) * marks.unsqueeze(1)
        return self.finish(self.through(x, mask), mask)

    def embed(self, ids: Tensor, positions: Positions | None = None) -> Tensor:
        """What the first block reads ``(B, L, d)``."""
        if ids.shape[1] > self.max_length:
            raise ValueError(f"ids must hold at most max_length={self.max_length} tokens a row, got {ids.shape[1]}")
        x: Tensor = self.embedding(ids)
        return x if positions is None else x + positions(torch.arange(ids.shape[1], device=ids.device))

    def through(self, x: Tensor, mask: Tensor | None, first: int = 0, last: int | None = None) -> Tensor:
        """States ``(B, L, d)`` after blocks ``first`` to ``last``, excluding ``last``."""
        at = torch.arange(x.shape[1], device=x.device)
        angles = rotary(at, self.head_dim) if self.is_rotary else None
        for block in self.blocks[first:last]:
            x = block(x, mask, angles)
        return x

    def through_versions(self, source: Tensor, slots: Tensor, versions: Versions, first: int) -> Tensor:
        """States ``(B, K, M, d)`` of K versions of the slots after all blocks from ``first`` on; only for attention."""
        x = versions.joined(source, slots)
        angles = rotary(versions.positions, self.head_dim) if self.is_rotary else None
        for block in self.blocks[first:]:
            x = block(x, None, angles, versions=versions)
        return versions.parted(x)[1]

    def finish(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The last norm; outside the mask the result is 0."""
        x = self.norm(x)
        return x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0)


class Decoder(nn.Module):
    r"""Token distributions of latents, each token only from its own latent: :math:`p_\theta(y_l \mid z_l)`, Eq. (7).

    A residual feed-forward layer and a linear map to the vocabulary.
    """

    def __init__(self, config: YanConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.ffn = FeedForward(config.d_model, config.ffn_mult)
        self.head = nn.Linear(config.d_model, config.vocab_size)
        nn.init.normal_(self.head.weight, std=config.d_model**-0.5)
        nn.init.zeros_(self.head.bias)

    def features(self, z: Tensor) -> Tensor:
        """What the linear map reads, ``(*, d)``."""
        z = self.dropout(z)
        out: Tensor = z + self.ffn(z)
        return out

    def forward(self, z: Tensor) -> Tensor:
        """Logits ``(*, V)`` of latents ``(*, d)``."""
        logits: Tensor = self.head(self.features(z))
        return logits

    def loss(self, z: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of every label ``(N,)`` given its latent ``(N, d)``, float32 ``(N,)``."""
        return token_cross_entropy(self.features(z), self.head.weight, self.head.bias, labels)

    def tokens(self, z: Tensor) -> Tensor:
        """Most probable tokens ``(*,)`` of latents ``(*, d)``; see :meth:`best`."""
        return self.best(z)[0]

    @torch.no_grad()
    def best(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Most probable tokens of latents ``(*, d)`` and their logits, both ``(*,)``: :func:`best_tokens`."""
        features = self.features(z.reshape(-1, z.shape[-1]))
        if not is_plain(self.head):
            out = self.head(features)
            return out.argmax(-1).reshape(z.shape[:-1]), out.amax(-1).float().reshape(z.shape[:-1])
        tokens, logits = best_tokens(features, self.head.weight, self.head.bias)
        return tokens.reshape(z.shape[:-1]), logits.reshape(z.shape[:-1])
