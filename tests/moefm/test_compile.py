"""The hot path compiles as one graph."""

import pytest
import torch
from torch.nn import functional as F

from moefm import consistent_moefm_loss, mmd2, moefm_loss, vfm_loss

INDEX = torch.tensor([2, 0, 2, 3, 0, 0])


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def assert_same(function, inputs):
    """Equal values and gradients, compiled or not."""
    results = []
    for f in (function, compiled(function)):
        leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
        out = f(*leaves)
        wanted = [x for x in leaves if x.requires_grad]
        results.append((out, *torch.autograd.grad(out.square().sum(), wanted)))
    for eager, other in zip(*results, strict=True):
        torch.testing.assert_close(other, eager)


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
def test_field(make_field, randn, separate):
    field = make_field(3, 4, separate=separate)
    assert_same(lambda z, t: torch.cat([out.flatten() for out in field(z, t)]), (randn(6, 3), torch.linspace(0, 1, 6)))


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("grouped", [True, False], ids=["grouped", "fallback"])
def test_expert(make_field, randn, monkeypatch, separate, dtype, grouped):
    if not grouped:
        monkeypatch.delattr(F, "grouped_mm")
    field = make_field(3, 4, separate=separate).to(dtype)
    assert_same(
        lambda z, t, index: field.expert(z, t, index), (randn(6, 3, dtype=dtype), torch.linspace(0, 1, 6), INDEX)
    )


def test_labels(make_field, randn):
    field = make_field(3, 4, num_classes=5)
    assert_same(lambda z, labels: torch.cat([out.flatten() for out in field(z, 0.3, labels)]), (randn(6, 3), INDEX))


def test_expert_gives_gradients_to_the_parameters(make_field, randn):
    field, grads = make_field(3, 4), []
    for run in (field.expert, compiled(field.expert)):
        out = run(randn(6, 3), torch.zeros(6), INDEX)
        grads.append(torch.autograd.grad(out.square().sum(), list(field.out.parameters())))
    for eager, other in zip(*grads, strict=True):
        torch.testing.assert_close(other, eager)


MASK = torch.tensor([[True, True, False], [True, False, True]])
SEGMENTS = torch.tensor([[0, 0, 1], [2, 1, 1]])


@pytest.mark.parametrize(
    "options, dtype",
    [
        ({}, torch.bfloat16),
        ({"mask": MASK, "scope": -1}, torch.float32),
        ({"mask": MASK, "scope": SEGMENTS, "velocity_scale": 0.5}, torch.float32),
    ],
    ids=["plain-bfloat16", "sequence", "segments"],
)
def test_losses(mixture, options, dtype):
    u, logits, target = mixture((2, 3), dtype=dtype)
    u_0 = mixture((2, 3), dtype=dtype, seed=5)[0]
    assert_same(lambda u, w, y: moefm_loss(u, w, y, sigma=0.5, **options).total, (u, logits, target))
    assert_same(
        lambda u, u_0, w, y: consistent_moefm_loss(u, u_0, w, y, sigma=0.5, **options).total, (u, u_0, logits, target)
    )


def test_vanilla_loss(randn):
    assert_same(lambda u, y: vfm_loss(u, y, MASK).total, (randn(2, 3, 4), randn(2, 3, 4, seed=1)))


def test_mmd(randn):
    assert_same(mmd2, (randn(20, 3), randn(30, 3, seed=1)))
