"""A generation compiles as one graph, from tokens to tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from toys import speaking

from yanlm.generation.core import Filled, Given, fill
from yanlm.generation.denoising import fill_by_encoder
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.yan import YanModel

SMALL = {"encoder_layers": 1, "flow_layers": 1, "cross_layers": (0,)}
KINDS: dict[str, dict[str, Any]] = {
    "transformer": {"conv": 3},
    "mamba": {"backbone": "mamba"},
    "denoiser": {"denoiser": "encoder", "latent_dim": 8, "scope": "span"},
}
MORE: dict[str, dict[str, Any]] = {
    "separate": {"form": "separate", "align": False, "positions": "learned", "prediction": "velocity"},
    "source": {"scope": "sequence", "experts": "source"},
    "continuum": {"denoiser": "encoder", "scope": "sequence", "experts": "continuum"},
}


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@torch.no_grad()
@pytest.mark.parametrize("kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in MORE)])
def test_the_whole_core(make_model: Callable[..., YanModel], kind: str) -> None:
    model = speaking(make_model(**SMALL, **{**KINDS, **MORE}[kind]))
    options, source = GenerationOptions(steps=2), torch.Generator().manual_seed(0)
    denoises, experts = model.can.denoises, model.config.num_experts
    dim = model.denoiser.dim if denoises else model.config.d_model
    given = Given(
        torch.randint(5, 50, (2, 8), generator=source),
        torch.arange(8) < torch.tensor([[8], [6]]),
        torch.arange(4).repeat(2, 1),
        torch.arange(4) < torch.tensor([[4], [3]]),
        torch.randn(2, 4, dim, generator=source),
        torch.rand(1, 2, 4, generator=source),
        points=torch.rand(2, 4, experts, generator=source) if kind == "continuum" else None,
    )
    whole = fill_by_encoder if denoises else fill

    def run(read: Given) -> Filled:
        return whole(model, read, options)

    ours, compiled = run(given), torch.compile(run, fullgraph=True, backend="aot_eager")(given)
    assert torch.equal(ours.tokens, compiled.tokens) and ours.nfe == compiled.nfe
    assert ours.assignment is not None and torch.equal(ours.assignment, compiled.assignment)
    torch.testing.assert_close(ours.computed, compiled.computed)
