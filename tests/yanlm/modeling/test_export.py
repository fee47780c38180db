"""Programs of torch.export compute what the model computes, for other shapes than they were traced with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from yanlm.modeling.export import export_encoder, export_flow

SHAPES = [(1, 5, 1), (3, 12, 6), (2, 7, 3)]


def given(model: Any, texts: int, tokens: int, slots: int) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(tokens)
    ids = torch.randint(5, 40, (texts, tokens), generator=generator)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[0, -1:] = tokens < 6
    places = torch.arange(slots).expand(texts, -1).contiguous()
    z = torch.randn(texts, slots, model.config.d_model, generator=generator)
    return z, torch.rand(texts, generator=generator), ids, mask, places, torch.ones_like(places, dtype=torch.bool)


def test_the_encoder_and_the_flow(make_model: Callable[..., Any], tmp_path: Path) -> None:
    model = make_model(conv=3).eval()
    encoder, flow = export_encoder(model), export_flow(model)
    torch.export.save(flow, tmp_path / "flow.pt2")
    loaded = torch.export.load(tmp_path / "flow.pt2").module()
    for shape in SHAPES:
        z, t, ids, mask, slots, slot_mask = given(model, *shape)
        states = model.encode(ids, mask)
        torch.testing.assert_close(encoder.module()(ids, mask), states)
        cond = model.condition(states, ids, mask, slots, slot_mask)
        features = model.flow.trunk(z, t, cond)
        velocities, logits = loaded(z, t, states, ids, mask, slots, slot_mask)
        torch.testing.assert_close(velocities, model.flow.heads(features))
        torch.testing.assert_close(logits, model.flow.gate_logits(features))


def test_a_model_without_a_flow_behind_its_encoder_says_so(make_model: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="backbone must be transformer"):
        export_encoder(make_model(backbone="mamba"))
    for options in ({"method": "mlm"}, {"denoiser": "encoder"}):
        model = make_model(**options).eval()
        with pytest.raises(ValueError, match="a flow behind its encoder"):
            export_flow(model)
