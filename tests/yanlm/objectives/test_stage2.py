"""Loss of the flow: a known field is learned, what is not frozen trains, every part of the mixture has a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import TEXT_ROWS

from moefm import sample
from yanlm.modeling.yan import YanModel
from yanlm.nn.slots import gather_tokens
from yanlm.objectives import stage2
from yanlm.objectives.settings import Stage2
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]


@pytest.mark.parametrize("freeze", ["decoder", "none"])
def test_what_is_not_frozen_trains_in_stage_2_and_keeps_its_own_loss(
    make_model: Make, builder: Builder, freeze: str
) -> None:
    model = make_model(tie_word_embeddings=False)
    model.stage2 = Stage2(freeze=freeze)
    model.prepare_stage(2)
    out = model.train()(**builder.batch([{"text": t} for t in TEXT_ROWS], [1, 2, 3]), stage=2, seeds=[1, 2, 3])
    out.loss.backward()
    assert {"stage1_ce", "stage1_slot_ce", "stage1_mmd"} <= set(out.parts)
    assert (model.decoder.head.weight.grad is not None) == (freeze == "none")
    assert model.encoder.embedding.weight.grad is not None


def test_every_masked_word_has_noise_beside_words_that_are_shown(
    make_model: Make, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    model.stage2 = Stage2(reveal=1.0)
    model.prepare_stage(2)
    path, seen = stage2.linear_path, []

    def linear_path(z0: torch.Tensor, z1: torch.Tensor, t: torch.Tensor) -> Any:
        seen.append(z0.any(-1).equal(z1.any(-1)))  # latents outside the slots are zero
        return path(z0, z1, t)

    monkeypatch.setattr(stage2, "linear_path", linear_path)
    for seed in range(8):
        seeds = [seed, seed + 8, seed + 16]
        model.train()(**builder.batch([{"text": t} for t in TEXT_ROWS], seeds), stage=2, seeds=seeds)
    assert len(seen) == 8 and all(seen)


@pytest.mark.parametrize("prediction", ["velocity", "data"])
def test_gaussian_latents_are_learned(make_model: Make, builder: Builder, prediction: str) -> None:
    """Where latents are N(m, s^2) whatever the source, stage 2 must find the known field and sample that Gaussian."""
    model = make_model(num_experts=1, prediction=prediction, flow_layers=1, cross_layers=[0])
    model.stage2 = Stage2(ce_weight=0.0, zero_share=0.0, length=0.0)
    model.prepare_stage(2)
    part = builder.batch([{"text": TEXT_ROWS[0]}] * 64, list(range(64)))
    mean, std = torch.linspace(-1, 1, 16), 0.5
    known = model.encode

    def encode(ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if not torch.equal(ids, part["target_ids"]):
            return known(part["source_ids"], part["source_mask"]) * 0
        return mean + std * torch.randn(*ids.shape, 16, generator=source)

    model.encode = encode  # type: ignore[method-assign]
    source = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.flow.parameters(), lr=5e-3)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 400)
        loss = model.train()(**part, stage=2, seeds=[64 * step + i for i in range(64)]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    states = encode(part["source_ids"], part["source_mask"])
    cond = model.flow.condition(states, part["source_mask"], part["slots"], part["slot_mask"])
    z = torch.randn(*part["slots"].shape, 16, generator=source)
    with torch.no_grad():
        for t in (0.0, 0.5):  # the field of one Gaussian is linear: E[z1 | z_t] by conditioning
            z_t = t * mean + (((t * std) ** 2 + (1 - t) ** 2) ** 0.5) * z
            slope = t * std**2 / ((t * std) ** 2 + (1 - t) ** 2)
            wanted = (mean + slope * (z_t - t * mean) - z_t) / (1 - t)
            got = model.flow.experts(z_t, t, cond).squeeze(-2)
            assert (got - wanted)[part["slot_mask"]].square().mean().sqrt() < 0.4 * wanted.std()
        z1 = sample(model.flow, z, 20, cond=cond).z1[part["slot_mask"]]
    assert (z1.mean(0) - mean).abs().max() < 0.15
    assert (z1.std(0) / std - 1).abs().mean() < 0.2


def test_target_latents_come_from_the_clean_text(make_model: Make, builder: Builder) -> None:
    model = make_model()
    part = builder.batch([{"text": t} for t in TEXT_ROWS], [1, 2, 3])
    z1 = gather_tokens(model.encode(part["target_ids"], part["target_mask"]), part["slots"])
    assert z1.shape == (*part["slots"].shape, 16)
    assert not torch.allclose(z1, gather_tokens(model.encode(part["source_ids"], part["source_mask"]), part["slots"]))
