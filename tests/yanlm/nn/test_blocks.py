"""Blocks of both backbones: rotary positions are relative, what lies outside the mask counts for nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yanlm.config import YanConfig
from yanlm.nn.blocks import (
    Block,
    CrossAttention,
    FeedForward,
    SelfAttention,
    ShortConv,
    _attend_in_products,
    rotary,
    rotate,
)
from yanlm.nn.norms import Change

KINDS: dict[str, dict[str, Any]] = {"transformer": {}, "conv": {"conv": 3}, "mamba": {"backbone": "mamba"}}


def config(**options: Any) -> YanConfig:
    ids = {"vocab_size": 30, "pad_token_id": 28, "mask_token_id": 29}
    return YanConfig(**{"d_model": 16, "num_heads": 2, "d_state": 4, **ids, **options})


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_products_see_relative_positions(query: int, key: int, shift: int) -> None:
    q, k = normal(1, 1, 1, 8), normal(1, 1, 1, 8, seed=1)

    def product(a: int, b: int) -> torch.Tensor:
        return (rotate(q, rotary(torch.tensor([[a]]), 8)) * rotate(k, rotary(torch.tensor([[b]]), 8))).sum()

    torch.testing.assert_close(product(query, key), product(query + shift, key + shift), atol=1e-3, rtol=1e-3)


def test_turning_keeps_lengths_and_position_zero() -> None:
    x = normal(2, 2, 5, 8)
    turned = rotate(x, rotary(torch.arange(5).expand(2, 5), 8))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0]) and not torch.allclose(turned[:, :, 1], x[:, :, 1])
    assert rotate(x, None) is x


def test_a_short_convolution_sees_neighbours_alone() -> None:
    conv, x = ShortConv(16, 3), normal(1, 9, 16)
    changed = x.clone()
    changed[:, 4] += 1
    moved = (conv(changed, None) - conv(x, None)).abs().sum(-1)[0] > 0
    assert moved.tolist() == [3 <= place <= 5 for place in range(9)]
    mask = torch.tensor([[True] * 6 + [False] * 3])
    torch.testing.assert_close(conv(x, mask)[:, :6], conv(x[:, :6], None))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_token(kind: str) -> None:
    torch.manual_seed(0)
    block, x = Block(config(**KINDS[kind])), normal(2, 7, 16)
    mask, at = torch.tensor([[True] * 7, [True] * 4 + [False] * 3]), rotary(torch.arange(7).expand(2, 7), 8)
    alone = block(x[1:, :4], None, rotary(torch.arange(4)[None], 8))
    torch.testing.assert_close(block(x, mask, at)[1:, :4], alone, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_two_products_are_the_attention_of_torch(masked: bool) -> None:
    keys = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [False] * 5])[:, None, None] if masked else None
    results = []
    for attend in (_attend_in_products, torch.nn.functional.scaled_dot_product_attention):
        q, k, v = (normal(3, 2, 5, 8, seed=i).requires_grad_() for i in range(3))
        out = attend(q, k, v, keys)
        results.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_training_in_bfloat16_takes_the_two_products(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x, at = Block(config()), normal(2, 7, 16), rotary(torch.arange(7).expand(2, 7), 8)
    exact = block(x, torch.ones(2, 7, dtype=torch.bool), at)
    called = []
    monkeypatch.setattr(
        "yanlm.nn.blocks._attend_in_products", lambda *args: called.append(1) or _attend_in_products(*args)
    )
    with torch.autocast("cpu", torch.bfloat16):
        rounded = block(x, torch.ones(2, 7, dtype=torch.bool), at)
        with torch.no_grad():
            block(x, torch.ones(2, 7, dtype=torch.bool), at)
    assert len(called) == 1  # in training alone
    torch.testing.assert_close(rounded.float(), exact, atol=0.1, rtol=0.1)


def test_heads_start_out_looking_for_tokens_like_their_own() -> None:
    query, key, _ = SelfAttention(config()).qkv.weight.chunk(3)
    assert torch.equal(query, key)


def test_attention_reads_neighbours_where_asked_to() -> None:
    attention, x = SelfAttention(config(conv=3)), normal(2, 3, 16)
    assert attention.conv is not None and SelfAttention(config()).conv is None
    near = attention.conv(x, None)
    attention.conv = None
    alone = attention(near, None, None)
    attention.conv = ShortConv(16, 3)
    assert not torch.allclose(attention(x, None, None), alone)
    attention.conv.weight.data.zero_()
    torch.testing.assert_close(attention(near, None, None), alone)


def test_a_block_adds_mixer_source_and_feed_forward_to_its_input() -> None:
    block, x = Block(config(), time_width=8, cross=True), normal(2, 3, 16)
    assert isinstance(block.cross, CrossAttention) and block.cross_norm is not None
    source, at = block.cross.read(normal(2, 5, 16, seed=1), None), rotary(torch.arange(3).expand(2, 3), 8)
    own, last, other = (Change(normal(2, 1, 16, seed=k), normal(2, 1, 16, seed=k + 3)) for k in (2, 3, 4))
    mixed = x + block.mixer(block.mixer_norm(x, own), None, at)
    read = mixed + block.cross(block.cross_norm(mixed, other), source, None, at)
    wanted = read + block.ffn(block.ffn_norm(read, last))
    torch.testing.assert_close(block(x, None, at, (own, last, other), source), wanted)


def test_feed_forward_is_linear_gelu_linear() -> None:
    ffn, x = FeedForward(16, 4), normal(2, 16)
    first, second = (layer for layer in ffn if isinstance(layer, torch.nn.Linear))
    assert first.weight.shape == (64, 16)
    torch.testing.assert_close(ffn(x), second(torch.nn.functional.gelu(first(x))))


def test_a_source_without_any_token_adds_only_the_bias() -> None:
    cross, x = CrossAttention(config()), normal(2, 3, 16)
    source, mask = normal(2, 5, 16, seed=1), torch.tensor([[True] * 5, [False] * 5])
    update = cross(x, cross.read(source, None), mask, None)
    torch.testing.assert_close(update[1], cross.out.bias.expand(3, 16))
    assert not torch.allclose(update[0], cross.out.bias.expand(3, 16))


def test_a_block_looks_at_a_source_where_asked_to() -> None:
    block, x = Block(config(), cross=True), normal(2, 3, 16)
    assert block.cross is not None and Block(config()).cross is None
    first, second = (block(x, None, None, source=block.cross.read(normal(2, 5, 16, seed=k), None)) for k in (1, 2))
    assert not torch.allclose(first, second)
