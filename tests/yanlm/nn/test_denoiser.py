"""The encoder as denoiser: vectors of tokens, where experts enter, one expert against all, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from moefm import sample
from yanlm.modeling.yan import YanModel
from yanlm.nn.places import Places
from yanlm.seeding import generators

Make = Callable[..., YanModel]
KINDS: dict[str, dict[str, Any]] = {
    "one expert": {"num_experts": 1},
    "heads": {"num_experts": 4, "scope": "span"},
    "marks at the input": {"num_experts": 4, "experts": "source", "scope": "sequence"},
    "marks inside": {"num_experts": 4, "experts": "source", "expert_layer": 1, "scope": "span"},
    "marks at the end": {"num_experts": 4, "experts": "source", "expert_layer": 2},
    "continuum": {"num_experts": 3, "experts": "continuum", "expert_layer": 1, "scope": "sequence"},
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, make_model: Make) -> YanModel:
    return make_model(denoiser="encoder", latent_dim=6, **KINDS[request.param])


def places_of(model: YanModel, padding: int = 0) -> Places:
    mask, pad = model.config.mask_token_id, model.config.pad_token_id
    source = torch.tensor([[3, mask, mask, 4, mask], [mask, 5, mask, pad, pad]])
    slots = torch.tensor([[1, 2, 4], [0, 2, 0]])
    held = torch.tensor([[True, True, True], [True, True, False]])
    source = torch.nn.functional.pad(source, (0, padding), value=pad)
    return model.places(source, source != pad, slots, held, generators([1, 2]))


def noise(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(seed))


def test_vectors_have_mean_0_and_variance_1(model: YanModel) -> None:
    vectors = model.denoiser.codebook(model.encoder)
    assert vectors.shape == (model.config.vocab_size, 6)
    assert torch.allclose(vectors.mean(-1), torch.zeros(len(vectors)), atol=1e-6)
    assert torch.allclose(vectors.var(-1, unbiased=False), torch.ones(len(vectors)), atol=1e-5)


def test_a_token_without_a_vector_is_given_one_by_its_first_gradient(make_model: Make) -> None:
    model = make_model(denoiser="encoder", latent_dim=6, num_experts=1)
    flow, weight = model.denoiser, model.denoiser.vectors.weight  # type: ignore[union-attr]
    weight.data[7] = 0
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    assert not flow.codebook(model.encoder)[7].any()
    (flow.codebook(model.encoder) * torch.arange(6.0)).sum().backward()
    assert weight.grad is not None and 0 < weight.grad[7].norm() < 10
    optimizer.step()
    vectors = flow.codebook(model.encoder)
    assert torch.allclose(vectors[7].square().mean(), torch.tensor(1.0), atol=1e-4)


@torch.no_grad()
def test_one_expert_is_its_part_of_all(model: YanModel) -> None:
    flow, places = model.denoiser, places_of(model)
    features = flow.trunk(noise(), torch.tensor([0.2, 0.7]), places)
    velocities, logits = flow.heads(features), flow.gate_logits(features)
    assert velocities.shape == (2, 3, flow.num_experts, 6) and logits.shape == velocities.shape[:-1]
    for k in range(flow.num_experts):
        index = torch.full((2, 3), k)
        assert torch.allclose(flow.head(features, index)[places.mask], velocities[:, :, k][places.mask], atol=2e-4)


@torch.no_grad()
def test_the_velocity_leads_to_the_mean_vector(model: YanModel) -> None:
    flow, places, z, t = model.denoiser, places_of(model), noise(), 0.4
    features = flow.trunk(z, t, places)
    index = torch.zeros(2, 3, dtype=torch.long)
    probabilities = flow.probabilities(flow.one_feature(features, index), places)
    assert torch.allclose(probabilities.sum(-1), torch.ones(2, 3), atol=1e-5)
    end = z + (1 - t) * flow.head(features, index)
    assert torch.allclose(end, probabilities @ flow.codebook(model.encoder), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("slot_input", ["mean", "vector"])
def test_velocities_at_the_start_lead_from_the_noise(make_model: Make, slot_input: str) -> None:
    model = make_model(denoiser="encoder", latent_dim=6, num_experts=1, slot_input=slot_input)
    flow, places = model.denoiser, places_of(model)
    index = torch.zeros(2, 3, dtype=torch.long)
    ends = []
    for perturb in (0.0, 3.0):
        features = flow.trunk(noise(), 0.0, places, perturb)
        probabilities = flow.probabilities(flow.one_feature(features, index), places)
        assert torch.allclose(
            noise() + flow.head(features, index), probabilities @ flow.codebook(model.encoder), atol=1e-4
        )
        ends.append(probabilities)
    assert not torch.allclose(*ends)


@torch.no_grad()
def test_plain_masks_are_the_encoder_alone(model: YanModel) -> None:
    places = places_of(model)
    source = torch.tensor([[3, model.config.mask_token_id, model.config.mask_token_id, 4, model.config.mask_token_id]])
    states = model.encode(source, torch.ones_like(source, dtype=torch.bool))[:, [1, 2, 4]]
    assert torch.allclose(model.denoiser.plain(places)[:1], model.decoder.features(states), atol=1e-5)


@torch.no_grad()
def test_padding_changes_nothing(model: YanModel) -> None:
    index = torch.zeros(2, 3, dtype=torch.long)
    for_short, for_long = (model.denoiser.expert(noise(), 0.3, index, places_of(model, padding)) for padding in (0, 4))
    held = places_of(model).mask
    assert torch.allclose(for_short[held], for_long[held], atol=1e-4)


@torch.no_grad()
def test_an_evaluation_is_one_pass(model: YanModel, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = []
    for number, block in enumerate(model.encoder.blocks):
        block.register_forward_hook(lambda *_, number=number: blocks.append(number))
    out = sample(model.denoiser, noise(), 3, cond=places_of(model), generator=generators([1, 2]))
    assert out.nfe == 3 and blocks == [0, 1] * 3


def test_gradients_reach_every_part(model: YanModel) -> None:
    model.train()
    flow, places = model.denoiser, places_of(model)
    velocities, logits = flow(noise(), 0.3, places)
    (velocities.square().sum() + (logits * torch.randn(logits.shape)).sum()).backward()
    idle = [name for name, parameter in flow.named_parameters() if parameter.grad is None]
    assert not idle and model.encoder.blocks[0].ffn[0].weight.grad is not None


@torch.no_grad()
def test_a_continuum_draws_one_number_a_group(make_model: Make) -> None:
    model = make_model(denoiser="encoder", experts="continuum", scope="span", num_experts=5)
    points = places_of(model).points
    assert points is not None and points.shape == (2, 3, 5)
    assert torch.equal(points[0, 0], points[0, 1]) and not torch.equal(points[0, 0], points[0, 2])


def test_it_needs_a_source(make_model: Make) -> None:
    with pytest.raises(ValueError, match="cond must be given"):
        make_model(denoiser="encoder", latent_dim=6).denoiser.trunk(noise(), 0.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"experts": "trunk", "scope": "sequence"}, "experts='trunk' needs denoiser='trunk'"),
        ({"form": "separate", "align": False}, "needs form='slots'"),
        ({"expert_layer": 3}, "expert_layer must lie in 0 .. 2"),
        ({"denoiser": "trunk", "experts": "continuum"}, "experts='continuum' needs denoiser='encoder'"),
        ({"denoiser": "trunk", "scope": "sentence"}, "scope='sentence' needs denoiser='encoder'"),
        ({"denoiser": "both"}, "denoiser must be"),
        ({"latent_dim": -1}, "latent_dim"),
    ],
)
def test_options_that_do_not_go_together(make_model: Make, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_model(**{"denoiser": "encoder", **options})
