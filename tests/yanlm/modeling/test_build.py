"""Models made anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import Batch, speaking

from yanlm.config import ARConfig
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.build import matched_layers, with_flow, without_flow
from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]


def test_another_flow_on_the_same_autoencoder(make_model: Make) -> None:
    model = make_model()
    own = {"cross_layers": [0, 1], "d_time": 8, "sigma": 0.1}
    assert with_flow(model, own, 0) is model
    other = with_flow(model, {**own, "num_experts": 6}, 0)
    assert other.config.num_experts == 6 and other.flow.num_experts == 6
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(other.encode(ids), model.encode(ids))
    assert torch.equal(other.decoder(model.encode(ids)), model.decoder(model.encode(ids)))


def test_what_has_no_effect_begins_no_new_flow(make_model: Make) -> None:
    encoder = make_model(denoiser="encoder", latent_dim=4)
    assert with_flow(encoder, {"denoiser": "encoder", "sigma": 9.0, "flow_layers": 7, "pad_to": 3}, 0) is encoder
    assert with_flow(encoder, {"denoiser": "encoder", "latent_dim": 6}, 0).config.latent_dim == 6
    trunk = make_model()
    assert with_flow(trunk, {"latent_dim": 9}, 0) is trunk
    assert with_flow(trunk, {"denoiser": "encoder"}, 0).can.denoises


def test_without_its_flow_a_model_is_its_own_one_pass(make_model: Make, spans_batch: Batch, tokenizer: Any) -> None:
    model = speaking(make_model(pad_to=4, positions="learned"))
    alone = without_flow(model)
    assert alone.config.method == "mlm" and alone.flow is None and not alone.training
    names = ("source_mask", "slots", "slot_mask")
    out = alone.generate(
        spans_batch["source_ids"], **{name: spans_batch[name] for name in names}, steps=1, seeds=[0] * 3
    )
    states = model.encode(spans_batch["source_ids"], spans_batch["source_mask"])
    wanted = model.decoder.tokens(states.gather(1, spans_batch["slots"].unsqueeze(-1).expand(-1, -1, states.shape[-1])))
    assert torch.equal(out.tokens[:, 0][spans_batch["slot_mask"]], wanted[spans_batch["slot_mask"]])
    for other in (alone, make_model(form="separate", align=False)):
        with pytest.raises(ValueError, match="model must be a flow"):
            without_flow(other)


@pytest.mark.parametrize("method", ["gpt2", "bart"])
def test_layers_that_match_a_size(method: str) -> None:
    sizes = {"vocab_size": 100, "d_model": 16, "num_heads": 2, "max_length": 32}
    sizes |= {"pad_token_id": 98, "mask_token_id": 99}
    totals = {}
    with torch.device("meta"):
        for layers in range(2, 12):
            model = ARModel(ARConfig(method=method, layers=layers, **sizes))
            totals[layers] = sum(p.numel() for p in model.parameters())
    for target in (20_000, 26_500, 33_000):
        best = min(totals, key=lambda layers: abs(totals[layers] - target))
        assert matched_layers(target, method=method, **sizes) == best
    assert matched_layers(1, method=method, **sizes) == (2 if method == "bart" else 1)
