"""The presets of the paper train on the paper's formulas: gradients of Eqs. (5), (9), (11) in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from moefm import normal_mmd2
from moefm.routing import draw_expert
from yanlm.modeling.yan import YanModel
from yanlm.nn.slots import gather_tokens
from yanlm.runs.presets import get_preset
from yanlm.seeding import EXPERT, NOISE, TIME, generators, row_normal
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

PAPER = ("paper-transformer", "paper-mamba")
SEEDS = [3, 1, 4, 1]


@pytest.fixture(params=PAPER)
def model(request: pytest.FixtureRequest, make_model: Callable[..., YanModel]) -> YanModel:
    """The preset's model at a small size, in float64."""
    preset = get_preset(request.param)
    sizes = {"vocab_size", "pad_token_id", "mask_token_id", "d_model", "num_heads", "max_length", "d_time"}
    options = {name: value for name, value in preset.model.items() if name not in sizes}
    options |= {"encoder_layers": 2, "flow_layers": 2, "cross_layers": [0], "num_experts": 3}
    small = make_model(**options).double().eval()
    small.stage1, small.stage2 = preset.stage1, preset.stage2
    return small


def gradients(loss: Tensor, model: YanModel) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    scale = max(float(gradient.abs().max()) for gradient in right.values())
    for name in left.keys() | right.keys():
        zero = torch.zeros(())
        difference = (left.get(name, zero) - right.get(name, zero)).abs().max()
        assert float(difference) < 1e-9 * scale, name


def cross_entropy(model: YanModel, z: Tensor, labels: Tensor) -> Tensor:
    """Eq. (9), with its sum over tokens as a mean."""
    return -model.decoder(z).log_softmax(-1).gather(-1, labels.unsqueeze(-1)).mean()


def test_stage_1_is_equation_8(model: YanModel, tokenizer: Any, rows: list[dict[str, str]]) -> None:
    builder = Builder(tokenizer, max_length=48, masking=Masking(rate=(0.2, 0.4)))
    batch = builder.batch(rows[:4], SEEDS)
    assert (batch["source_ids"] == tokenizer.mask_token_id).any()
    model.prepare_stage(1)
    model.eval()  # noise of the latents is the only thing that differs from training
    settings, mask = model.stage1, batch["target_mask"]
    ours = gradients(model(**batch, stage=1, seeds=SEEDS).loss, model)
    z = model.encode(batch["source_ids"], mask)
    tokens = z[mask]
    loss = cross_entropy(model, tokens, batch["target_ids"][mask])
    loss = loss + settings.mmd * normal_mmd2(tokens, settings.bandwidths) + settings.scale * tokens.square().mean()
    assert_equal(ours, gradients(loss, model))


def test_stage_2_is_equation_11(model: YanModel, tokenizer: Any, rows: list[dict[str, str]]) -> None:
    batch = Builder(tokenizer, form="separate", max_length=48).batch(rows[:4], SEEDS)
    model.prepare_stage(2)
    model.eval()
    ours = gradients(model(**batch, stage=2, seeds=SEEDS).loss, model)
    flow, settings, sigma = model.flow, model.stage2, model.config.sigma
    slots, mask = batch["slots"], batch["slot_mask"]
    with torch.no_grad():
        source = model.encode(batch["source_ids"], batch["source_mask"])
        z1 = gather_tokens(model.encode(batch["target_ids"], batch["target_mask"]), slots)
        z0 = row_normal(generators(SEEDS, NOISE), mask, z1.shape[2]).double()
        t = torch.cat([torch.rand((1,), generator=g) for g in generators(SEEDS, TIME)]).double()[:, None, None]
    cond = model.condition(source, batch["source_ids"], batch["source_mask"], slots, mask)
    z_t, target = t * z1 + (1 - t) * z0, z1 - z0
    features = flow.trunk(z_t, t.flatten(), cond)
    distance = (flow.heads(features) - target.unsqueeze(-2)).square().sum(-1)
    log_pi = flow.gate_logits(features).log_softmax(-1)
    nll = -(log_pi - distance / (2 * sigma**2)).logsumexp(-1)[mask].mean()  # Eq. (5)
    logits = flow.gate_logits(flow.trunk(z0, 0.0, cond))
    expert = draw_expert(logits, generators(SEEDS, EXPERT))
    z = z0
    for step in range(settings.steps):  # frozen routing, Euler
        z = z + flow.head(flow.trunk(z, step / settings.steps, cond), expert) / settings.steps
    assert_equal(ours, gradients(nll + cross_entropy(model, z[mask], batch["target_ids"][mask]), model))


@pytest.mark.parametrize("name", PAPER)
def test_gradients_are_not_clipped(name: str) -> None:
    preset = get_preset(name)
    assert preset.recipe1.clip is None and preset.recipe2.clip is None
    assert preset.stage2.units == "nats" and preset.stage1.slot is None
