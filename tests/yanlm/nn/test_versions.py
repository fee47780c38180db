"""Versions of slots beside their source: nobody reads another version, and the source reads none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from yanlm.modeling.yan import YanModel
from yanlm.nn.autoencoder import Encoder
from yanlm.nn.blocks import rotary
from yanlm.nn.slots import gather_tokens
from yanlm.nn.versions import Versions

Make = Callable[..., YanModel]
SLOTS = torch.tensor([[1, 2, 4], [0, 3, 0]])
HELD = torch.tensor([[True, True, True], [True, True, False]])
TOKENS = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])


@pytest.fixture(params=[0, 3], ids=["attention", "with convolution"])
def encoder(request: pytest.FixtureRequest, make_model: Make) -> Encoder:
    return make_model(conv=request.param, encoder_layers=2).encoder


def states(encoder: Encoder, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(2, *shape, encoder.norm.normalized_shape[0], generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_a_version_does_not_read_another(encoder: Encoder) -> None:
    source, slots = states(encoder, 6), states(encoder, 3, 3, seed=1)
    together = encoder.through_versions(source, slots, Versions(TOKENS, SLOTS, HELD, 3, 6), 0)
    for k in range(3):
        alone = encoder.through_versions(source, slots[:, k : k + 1], Versions(TOKENS, SLOTS, HELD, 1, 6), 0)
        assert torch.allclose(together[:, k][HELD], alone[:, 0][HELD], atol=1e-5)


@torch.no_grad()
def test_the_source_reads_no_version(encoder: Encoder) -> None:
    versions = Versions(TOKENS, SLOTS, HELD, 2, 6)
    source = states(encoder, 6)
    x = versions.joined(source, states(encoder, 2, 3, seed=1))
    for block in encoder.blocks:
        x = block(x, None, rotary(versions.positions, encoder.head_dim), versions=versions)
    assert torch.allclose(versions.parted(x)[0][TOKENS], encoder.through(source, TOKENS)[TOKENS], atol=1e-5)


@torch.no_grad()
def test_one_version_of_every_token_is_the_text_itself(encoder: Encoder) -> None:
    source = states(encoder, 6)
    every = torch.arange(6).expand(2, -1)
    beside = encoder.through_versions(source, source.unsqueeze(1), Versions(TOKENS, every, TOKENS, 1, 6), 0)
    assert torch.allclose(beside[:, 0][TOKENS], encoder.through(source, TOKENS)[TOKENS], atol=1e-5)


@torch.no_grad()
def test_what_lay_at_the_slots_of_the_source_is_not_read(make_model: Make) -> None:
    encoder = make_model(conv=0, encoder_layers=2).encoder  # a convolution's source has read them before
    source, slots = states(encoder, 6), states(encoder, 1, 3, seed=1)
    versions = Versions(TOKENS, SLOTS, HELD, 1, 6)
    block = encoder.blocks[0]
    angles = rotary(versions.positions, encoder.head_dim)
    other = source.scatter_add(1, SLOTS[:, :2, None].expand(-1, -1, source.shape[-1]), states(encoder, 2, seed=2))
    read = [
        versions.parted(block(versions.joined(x, slots), None, angles, versions=versions))[1] for x in (source, other)
    ]
    assert torch.allclose(read[0][HELD.unsqueeze(1)], read[1][HELD.unsqueeze(1)], atol=1e-5)
    assert not torch.allclose(gather_tokens(source, SLOTS), gather_tokens(other, SLOTS))


def test_gradients_pass_to_source_and_versions(encoder: Encoder) -> None:
    source, slots = states(encoder, 6).requires_grad_(), states(encoder, 2, 3, seed=1).requires_grad_()
    encoder.through_versions(source, slots, Versions(TOKENS, SLOTS, HELD, 2, 6), 0)[
        HELD.unsqueeze(1).expand(-1, 2, -1)
    ].sum().backward()
    assert source.grad is not None and slots.grad is not None
    assert source.grad[1, 4:].eq(0).all() and slots.grad[1, :, 2].eq(0).all() and slots.grad[1, :, :2].ne(0).any()


def test_masks_may_be_left_out() -> None:
    with_masks = Versions(torch.ones(2, 5, dtype=torch.bool), SLOTS, torch.ones_like(HELD), 2, 5)
    assert torch.equal(Versions(None, SLOTS, None, 2, 5).seen, with_masks.seen)
