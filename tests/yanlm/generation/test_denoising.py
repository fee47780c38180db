"""Generation by a denoising encoder: rows on their own, every option, steps by hand, candidates, turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import DENOISERS, Batch, generate, speaking

from yanlm.modeling.io import load_model, save_model
from yanlm.modeling.yan import YanModel
from yanlm.seeding import EXPERT, NOISE, generators, row_normal

Make = Callable[..., YanModel]
KINDS = {**DENOISERS, "mamba": {"num_experts": 4, "backbone": "mamba", "conv": 0}}
WAYS: list[dict[str, Any]] = [
    {"steps": 1},
    {"steps": 3, "samples": 2},
    {"steps": 2, "routing": "mean", "perturb": 2.0},
    {"steps": 2, "routing": "greedy"},
    {"steps": 2, "routing": "resampled"},
    {"steps": 2, "temperature": 1.0},
    {"steps": 2, "samples": 2, "candidates": 3},
    {"steps": 2, "reread": True},
    {"steps": 2, "device_noise": True, "temperature": 1.0},
    {"steps": 2, "sampler": "diffusion", "order": "random", "temperature": 1.0},
]


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_model: Make) -> YanModel:
    return speaking(make_model(denoiser="encoder", latent_dim=8, **KINDS[request.param]))


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_a_row_is_the_same_alone(model: YanModel, spans_batch: Batch, options: dict[str, Any]) -> None:
    whole = generate(model, spans_batch, [5, 6, 7], **options)
    assert whole.tokens.shape[:2] == (3, options.get("samples", 1))
    for row in range(3):
        own = {name: x[row : row + 1] for name, x in spans_batch.items()}
        count, length = int(own["slot_mask"].sum()), int(own["source_mask"].sum())
        short = {n: x[:, : count if n.startswith("slot") else length] for n, x in own.items()}
        alone = generate(model, short, [5 + row], **options)
        assert torch.equal(alone.tokens[..., :count], whole.tokens[row : row + 1, :, :count])


@torch.no_grad()
@pytest.mark.parametrize("perturb", [0.0, 2.0])
def test_steps_by_hand(make_model: Make, spans_batch: Batch, perturb: float) -> None:
    model = speaking(make_model(denoiser="encoder", latent_dim=8, num_experts=1))
    flow, held = model.denoiser, spans_batch["slot_mask"]
    flow.information.fit_from(torch.linspace(0, 1, 50), (1 - 4 * torch.linspace(0, 1, 50)).clamp_min(0))
    places = model.places(*(spans_batch[name] for name in ("source_ids", "source_mask", "slots", "slot_mask")))
    z = row_normal(generators([1, 2, 3], NOISE), held, 8)
    times = flow.times(3)
    index = torch.zeros_like(held, dtype=torch.long)
    for t, after in itertools.pairwise(times):
        p = flow.probabilities(flow.one_feature(flow.trunk(z, t, places, perturb), index), places)
        z = z + (after - t) / (1 - t) * (p @ flow.codebook(model.encoder) - z)
    p[..., [model.config.mask_token_id, model.config.pad_token_id]] = 0
    out = generate(model, spans_batch, [1, 2, 3], steps=3, perturb=perturb)
    assert out.nfe == 3 and torch.equal(out.tokens[:, 0][held], p.argmax(-1)[held])


def test_candidates_are_among_the_samples(model: YanModel, spans_batch: Batch) -> None:
    many = generate(model, spans_batch, [5, 6, 7], steps=2, samples=3)
    kept = generate(model, spans_batch, [5, 6, 7], steps=2, candidates=3)
    assert kept.nfe == 9
    for row in range(3):
        assert any(torch.equal(kept.tokens[row, 0], sample) for sample in many.tokens[row])


def test_known_answers(model: YanModel, spans_batch: Batch) -> None:
    slots = spans_batch["slots"][:, :2]
    choices = torch.tensor([[5, 6], [7, 8], [9, 9]])
    source = spans_batch["source_ids"]
    out = model.generate(source, slots=slots, source_mask=spans_batch["source_mask"], choices=choices, seeds=[1, 2, 3])
    assert out.scores.shape == (3, 1, 3)
    assert torch.equal(out.tokens[:, 0], choices[out.scores[:, 0].argmax(-1)])


def test_it_is_saved_with_its_time(tmp_path: Path, model: YanModel, spans_batch: Batch, tokenizer: Any) -> None:
    t = torch.linspace(0, 1, 50)
    model.denoiser.information.fit_from(t, (1 - 4 * t).clamp_min(0))
    save_model(tmp_path / "model", model, tokenizer)
    again = load_model(tmp_path / "model")
    assert torch.equal(again.denoiser.information.grid(4), model.denoiser.information.grid(4))
    a, b = (generate(m, spans_batch, [1, 2, 3], steps=4, samples=2).tokens for m in (model, again))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"solver": "heun"}, "solver must be euler"),
        ({"candidates": 0}, "candidates"),
        ({"perturb": -0.1}, "perturb must be a finite number of at least 0"),
        ({"perturb": float("nan")}, "perturb must be a finite number of at least 0"),
        ({"perturb": True}, "perturb must be a finite number of at least 0"),
        ({"candidates": 2, "reread": True}, "candidates"),
        ({"sampler": "walk"}, "sampler must be"),
        ({"sampler": "diffusion", "z0_scale": 0.5}, "z0_scale"),
        ({"sampler": "diffusion", "perturb": 1.0}, "perturb"),
    ],
)
def test_options_that_do_not_go(make_model: Make, spans_batch: Batch, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        generate(make_model(denoiser="encoder"), spans_batch, [1, 2, 3], **options)


def test_a_flow_behind_its_encoder_has_no_candidates(make_model: Make, spans_batch: Batch) -> None:
    for options in ({"candidates": 2}, {"sampler": "diffusion"}, {"perturb": 0.0}):
        with pytest.raises(ValueError, match="needs a flow whose denoiser is the encoder"):
            generate(make_model(), spans_batch, [1, 2, 3], **options)


def test_experts_are_drawn_from_their_own_stream(make_model: Make, spans_batch: Batch) -> None:
    model = speaking(make_model(denoiser="encoder", num_experts=4))
    first = generate(model, spans_batch, [5, 6, 7], steps=1).assignment
    assert torch.equal(first, generate(model, spans_batch, [5, 6, 7], steps=4).assignment)
    assert len({g.initial_seed() for g in generators([5], NOISE) + generators([5], EXPERT)}) == 2
