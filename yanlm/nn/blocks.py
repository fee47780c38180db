"""One block for both backbones: a token mixer, optional attention to the source, a feed-forward layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yanlm.config import YanConfig
from yanlm.nn.norms import Norm, Time
from yanlm.nn.versions import Versions


class Rotary(NamedTuple):
    """Cosines and sines of rotary positions, each ``(*, 1, L, head_dim / 2)``."""

    cos: Tensor
    sin: Tensor


def rotary(positions: Tensor, head_dim: int, base: float = 10000.0) -> Rotary:
    """Angles of integer ``positions`` ``(*, L)``, computed when needed, so that no buffer has to be stored."""
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angle = positions.unsqueeze(-2).unsqueeze(-1).float() * base**-exponent
    return Rotary(angle.cos(), angle.sin())


def rotate(x: Tensor, at: Rotary | None) -> Tensor:
    """Rotate queries or keys ``(B, heads, L, head_dim)`` by their positions; products then depend on relative ones."""
    if at is None:
        return x
    # Slices of one projection are rows of head_dim / 2 numbers that lie far apart: on a CPU a copy first makes this
    # three times as fast.
    a, b = x.float().contiguous().chunk(2, -1)
    return torch.cat([a * at.cos - b * at.sin, a * at.sin + b * at.cos], -1).to(x.dtype)


NEVER = -1e30
"""Score, before a softmax, of what is to have no share."""
SHORT = 256
"""Most keys for which all scores are held at once."""


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of ``q`` over the keys inside ``mask`` ``(B, S)``, or ``(B, L, S)`` where queries see different ones.

    A row without any key gives zeros.
    """
    keys = None if mask is None else mask[:, None] if mask.ndim == 3 else mask[:, None, None, :]
    slow = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad and k.shape[-2] <= SHORT
    attend = _attend_in_products if slow else F.scaled_dot_product_attention
    return attend(q, k, v, keys).transpose(-2, -3).flatten(-2)


def _attend_in_products(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
    """Attention as two products: in bfloat16 on a CPU, torch's fused kernel trains two to six times as slowly."""
    offset = q.new_zeros(1, 1, 1, 1) if keys is None else torch.where(keys, 0.0, NEVER).to(q)
    offset = offset.expand(*q.shape[:2], -1, -1).flatten(0, 1)
    # The product adds the mask: to fill the scores would take as long as the product, and again in the backward pass.
    scores = torch.baddbmm(offset, q.flatten(0, 1), k.flatten(0, 1).transpose(-1, -2), alpha=q.shape[-1] ** -0.5)
    out = scores.unflatten(0, q.shape[:2]).softmax(-1) @ v
    return out if keys is None else out.masked_fill(~keys.any(-1, keepdim=True), 0)


class ShortConv(nn.Module):
    """Add to every token a weighted sum of its neighbours, channel by channel.

    The weights start random, not at zero. So each place next to a token has its own signature from the first step on,
    and attention can match it. From zero, the signature and the match would have to emerge together.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernel, width) / kernel**0.5)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0)  # padding weighs as much as the text's end
        kernel, width = self.weight.shape
        # An image of height 1 whose channels come last: on a CPU several times as fast as conv1d.
        image, weight = x.transpose(1, 2).unsqueeze(2), self.weight.t()[:, None, None]
        near = F.conv2d(image, weight, padding=(0, kernel // 2), groups=width)
        return x + near.squeeze(2).transpose(1, 2)


class SelfAttention(nn.Module):
    """Bidirectional multi-head self-attention."""

    def __init__(self, config: YanConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.conv = ShortConv(config.d_model, config.conv) if config.conv else None
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)
        with torch.no_grad():  # equal queries and keys: heads start out looking for tokens like their own
            q, k, _ = self.qkv.weight.chunk(3)
            k.copy_(q)

    def forward(self, x: Tensor, mask: Tensor | None, at: Rotary | None, versions: Versions | None = None) -> Tensor:
        if self.conv is not None:
            x = self.conv(x, mask) if versions is None else versions.convolved(self.conv, x)
        q, k, v = (_split(part, self.heads) for part in self.qkv(x).chunk(3, -1))
        out: Tensor = self.out(_attend(rotate(q, at), rotate(k, at), v, mask if versions is None else versions.seen))
        return out


class KeysValues(NamedTuple):
    """The source as one cross-attention layer sees it: computed once, used at every step of the flow."""

    keys: Tensor
    values: Tensor


class CrossAttention(nn.Module):
    """Attention of the flow's tokens to the encoded source."""

    def __init__(self, config: YanConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.q = nn.Linear(config.d_model, config.d_model)
        self.kv = nn.Linear(config.d_model, 2 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)

    def read(self, source: Tensor, at: Rotary | None) -> KeysValues:
        """Keys and values of the source ``(B, S, d)``."""
        k, v = (_split(part, self.heads) for part in self.kv(source).chunk(2, -1))
        return KeysValues(rotate(k, at), v)

    def forward(self, x: Tensor, source: KeysValues, source_mask: Tensor | None, at: Rotary | None) -> Tensor:
        q = rotate(_split(self.q(x), self.heads), at)
        out: Tensor = self.out(_attend(q, source.keys, source.values, source_mask))
        return out


class FeedForward(nn.Sequential):
    """Linear, GELU, linear."""

    def __init__(self, width: int, mult: int, dropout: float = 0.0) -> None:
        super().__init__(nn.Linear(width, mult * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(mult * width, width))


class Block(nn.Module):
    """Pre-norm residual block: ``x + mixer(x)``, optionally ``x + cross(x, source)``, ``x + ffn(x)``.

    Args:
        config: Sizes and backbone.
        time_width: Width of the time embedding that modulates the norms, 0 for none (the encoder).
        cross: Attend to the source.

    Attributes:
        gradient_checkpointing: Whether training computes the block again in the backward pass, in place of keeping its
            states. The name is the one that Hugging Face's ``gradient_checkpointing_enable`` sets.
    """

    gradient_checkpointing = False
    _gradient_checkpointing_func: Any = None

    def __init__(self, config: YanConfig, time_width: int = 0, cross: bool = False) -> None:
        super().__init__()
        d = config.d_model
        self.mixer_norm, self.ffn_norm = Norm(d, time_width), Norm(d, time_width)
        self.mixer: nn.Module
        if config.backbone == "mamba":
            from yanlm.nn.mamba import BiMamba

            self.mixer = BiMamba(d, d_state=config.d_state, d_conv=config.d_conv, expand=config.expand)
        else:
            self.mixer = SelfAttention(config)
        self.cross_norm = Norm(d, time_width) if cross else None
        self.cross = CrossAttention(config) if cross else None
        self.ffn = FeedForward(d, config.ffn_mult, config.dropout)

    @property
    def norms(self) -> list[Norm]:
        """Its norms; the one before cross-attention comes last."""
        return [norm for norm in (self.mixer_norm, self.ffn_norm, self.cross_norm) if norm is not None]

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        at: Rotary | None,
        time: Time = None,
        source: KeysValues | None = None,
        source_mask: Tensor | None = None,
        versions: Versions | None = None,
    ) -> Tensor:
        """Update states ``(B, L, d)``; ``mask`` ``(B, L)`` says which are tokens, or ``versions`` who reads whom."""
        arguments = (x, mask, at, time, source, source_mask, versions)
        if self.gradient_checkpointing and self.training:
            out: Tensor = self._gradient_checkpointing_func(self._update, *arguments)
            return out
        return self._update(*arguments)

    def _update(
        self,
        x: Tensor,
        mask: Tensor | None,
        at: Rotary | None,
        time: Time,
        source: KeysValues | None,
        source_mask: Tensor | None,
        versions: Versions | None,
    ) -> Tensor:
        times = time if isinstance(time, tuple) else (time, time, time)
        mixed = self.mixer_norm(x, times[0])
        attends = isinstance(self.mixer, SelfAttention)
        x = x + (self.mixer(mixed, mask, at, versions) if attends else self.mixer(mixed, mask))
        if self.cross is not None and self.cross_norm is not None and source is not None:
            x = x + self.cross(self.cross_norm(x, times[2]), source, source_mask, at)
        return x + self.ffn(self.ffn_norm(x, times[1]))
