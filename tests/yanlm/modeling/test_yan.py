"""Contracts of the model, the same for both backbones and all its forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import TEXT_ROWS, trimmed
from transformers import AutoConfig, AutoModel

from moefm import sample
from yanlm.config import YanConfig
from yanlm.modeling.yan import YanModel
from yanlm.nn.slots import gather_tokens
from yanlm.objectives.settings import Stage1, Stage2
from yanlm.objectives.stage1 import regularizer_tokens
from yanlm.seeding import generators, row_normal
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]
KINDS: dict[str, dict[str, Any]] = {
    "transformer": {},
    "transformer-conv": {"conv": 3},
    "mamba": {"backbone": "mamba"},
    "learned": {"positions": "learned", "prediction": "velocity"},
    "mamba-paper": {
        "backbone": "mamba",
        "positions": "learned",
        "prediction": "velocity",
        "align": False,
        "form": "separate",
        "tie_word_embeddings": False,
    },
    "one-expert": {"num_experts": 1},
    "span": {"scope": "span"},
    "sequence": {"scope": "sequence", "prediction": "velocity"},
    "trunk": {"scope": "sequence", "experts": "trunk"},
    "source": {"scope": "sequence", "experts": "source"},
}


@pytest.fixture(params=KINDS, ids=str)
def model(request: pytest.FixtureRequest, make_model: Make) -> YanModel:
    return make_model(**KINDS[request.param])


@pytest.fixture
def autoencoder_batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    return Builder(tokenizer, max_length=48).batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3])


@pytest.fixture
def stage_batches(batch: dict[str, torch.Tensor], autoencoder_batch: dict[str, torch.Tensor]) -> Any:
    """What each stage is trained on: the autoencoder decodes the text that it encodes, whatever the flow's form."""
    return {1: autoencoder_batch, 2: batch}


@pytest.fixture
def batch(model: YanModel, tokenizer: Any) -> dict[str, torch.Tensor]:
    build = Builder(tokenizer, form=model.config.form, max_length=48)
    return build.batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3], with_lengths=True)


def test_padding_never_changes_an_encoding(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    states = model.encode(batch["source_ids"], batch["source_mask"])
    assert not states[~batch["source_mask"]].any()
    for row in range(3):
        one = trimmed(batch, row)
        for mask in (one["source_mask"], None):
            alone = model.encode(one["source_ids"], mask)
            torch.testing.assert_close(states[row : row + 1, : alone.shape[1]], alone, atol=2e-6, rtol=1e-4)


def test_padding_never_changes_a_velocity_or_a_gate(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    def evaluate(part: dict[str, torch.Tensor], z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = model.encode(part["source_ids"], part["source_mask"])
        cond = model.flow.condition(states, part["source_mask"], part["slots"], part["slot_mask"], model.positions)
        return model.flow(z, 0.3, cond)

    z = torch.randn(*batch["slots"].shape, 16, generator=torch.Generator().manual_seed(0))
    velocities, logits = evaluate(batch, z)
    assert velocities.shape == (*batch["slots"].shape, model.config.num_experts, 16)
    for row in range(3):
        one = trimmed(batch, row)
        count = one["slots"].shape[1]
        alone, gate = evaluate(one, z[row : row + 1, :count])
        torch.testing.assert_close(velocities[row : row + 1, :count], alone, atol=5e-6, rtol=1e-4)
        torch.testing.assert_close(logits[row : row + 1, :count], gate, atol=5e-6, rtol=1e-4)


def generate(model: YanModel, part: dict[str, torch.Tensor], seeds: list[int], **options: Any) -> Any:
    names = ("source_mask", "slots", "slot_mask")
    return model.generate(part["source_ids"], **{name: part[name] for name in names}, seeds=seeds, **options)


def test_padding_never_changes_a_token(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    together = generate(model, batch, [5, 6, 7], steps=3)
    for row in range(3):
        one = trimmed(batch, row)
        alone = generate(model, one, [[5, 6, 7][row]], steps=3)
        count = one["slots"].shape[1]
        assert alone.tokens[0, 0].tolist() == together.tokens[row, 0, :count].tolist()
        assert alone.assignment[0, 0].tolist() == together.assignment[row, 0, :count].tolist()
        assert (together.tokens[row, 0, count:] == model.config.pad_token_id).all()


def test_what_the_padding_holds_is_never_read(model: YanModel, stage_batches: Any) -> None:
    for stage, batch in stage_batches.items():
        other = dict(batch)
        for name, mask in (("source_ids", "source_mask"), ("target_ids", "target_mask")):
            other[name] = batch[name].masked_fill(~batch[mask], 7)
        model.prepare_stage(stage)
        losses = [model(**part, stage=stage, seeds=[1, 2, 3]).loss for part in (batch, other)]
        torch.testing.assert_close(losses[0], losses[1], atol=0, rtol=0)


def test_a_row_of_padding_alone_gives_no_nan(model: YanModel, stage_batches: Any) -> None:
    for stage, batch in stage_batches.items():
        empty = {name: x.clone() for name, x in batch.items() if name.startswith(("source", "target", "slot"))}
        for name in ("source_mask", "target_mask", "slot_mask"):
            empty[name][2] = False
        model.prepare_stage(stage)
        model.zero_grad()
        loss = model(**empty, stage=stage, seeds=[1, 2, 3]).loss
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert (generate(model, empty, [1, 2, 3]).tokens[2] == model.config.pad_token_id).all()


@pytest.mark.parametrize("ce", ["onestep", "rollout", "unrolled"])
@pytest.mark.parametrize("objective", ["paper", "consistent"])
def test_gradients_reach_all_that_trains_and_nothing_else(
    model: YanModel, stage_batches: Any, objective: str, ce: str
) -> None:
    model.stage2 = Stage2(objective=objective, ce=ce, steps=2, latent=0.1, entropy=0.1, balance=0.1)
    for stage, batch in stage_batches.items():
        model.prepare_stage(stage)
        model.train().zero_grad()
        model(**batch, stage=stage, seeds=[4, 2, 3]).loss.backward()  # a multiple of 4 trains the length head
        for name, parameter in model.named_parameters():
            part = name.split(".")[0]
            trains = part in (("encoder", "decoder", "positions") if stage == 1 else ("flow", "length_head"))
            assert parameter.requires_grad == trains, name
            assert (parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)) == trains, name


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


def test_frozen_parts_do_not_drop_out(make_model: Make) -> None:
    model = make_model(dropout=0.5)
    model.prepare_stage(2)
    model.train()
    assert not model.encoder.training and not model.decoder.training and model.flow.training
    model.prepare_stage(1)
    model.train()
    assert model.encoder.training and not model.flow.training


def test_saved_and_loaded_models_are_equal(model: YanModel, batch: dict[str, torch.Tensor], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    for loaded in (YanModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert isinstance(loaded, YanModel)
        assert loaded.state_dict().keys() == model.state_dict().keys()
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
        assert torch.equal(generate(loaded.eval(), batch, [1, 2, 3]).tokens, generate(model, batch, [1, 2, 3]).tokens)
    assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == model.config.to_diff_dict()
    tied = loaded.decoder.head.weight is loaded.encoder.embedding.weight
    assert tied == model.config.tie_word_embeddings


def test_the_regularizer_looks_at_evenly_spaced_tokens_of_every_row() -> None:
    mask = torch.arange(9) < torch.tensor([9, 4, 1, 0])[:, None]
    mask[0, 3] = False  # no position counts that the mask leaves out
    z = torch.arange(36.0).view(4, 9, 1)
    assert regularizer_tokens(z, mask, 12).flatten().tolist() == [0, 4, 7, 9, 11, 18]
    assert regularizer_tokens(z, mask, 1).flatten().tolist() == [0, 9, 18]  # one of each row that has any
    assert torch.equal(regularizer_tokens(z, mask, 1000), z[mask])


def test_seeds_decide_everything(model: YanModel, stage_batches: Any) -> None:
    for stage, batch in stage_batches.items():
        model.prepare_stage(stage)
        model.train()
        losses = [model(**batch, stage=stage, seeds=seeds).loss.item() for seeds in ([1, 2, 3], [1, 2, 3], [4, 5, 6])]
        assert losses[0] == losses[1] != losses[2]
    model.eval()
    state = torch.get_rng_state()
    first, again = (generate(model, batch, [1, 2, 3], samples=2) for _ in range(2))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(state, torch.get_rng_state()), "the global generator was touched"
    assert torch.equal(first.tokens[:, :1], generate(model, batch, [1, 2, 3]).tokens), "more samples changed the first"


@pytest.mark.parametrize("known", [1.0, 0.5])
def test_parts_of_a_batch_add_up(model: YanModel, stage_batches: Any, known: float) -> None:
    """Two processes with half a batch each, totals shared, give the loss and gradient of one with all of it."""
    model.stage1 = Stage1(mmd=0.0, known=known)
    for stage, batch in stage_batches.items():
        totals = model.counts(batch) / 2
        model.prepare_stage(stage)
        model.train().zero_grad()
        loss = model(**batch, stage=stage, seeds=[4, 2, 8]).loss
        loss.backward()
        wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        halves = []
        for rows in (slice(0, 2), slice(2, 3)):
            part = {name: x[rows] for name, x in batch.items()}
            half = model(**part, stage=stage, seeds=[4, 2, 8][rows], totals=totals).loss / 2
            half.backward()
            halves.append(half.item())
        assert sum(halves) == pytest.approx(loss.item(), rel=1e-5)
        for name, p in model.named_parameters():
            if p.grad is not None:
                torch.testing.assert_close(p.grad, wanted[name], atol=2e-6, rtol=2e-3)


def test_a_share_of_the_known_tokens_stands_for_all(model: YanModel, stage_batches: Any) -> None:
    """Over seeds the reconstruction of a share has the mean of the whole, and costs a share of the decoding."""
    batch = stage_batches[1]
    model.eval()
    decoded: list[int] = []
    loss = model.decoder.loss
    model.decoder.loss = lambda z, labels: (decoded.append(len(labels)), loss(z, labels))[1]  # type: ignore[method-assign]
    with torch.no_grad():
        model.stage1 = Stage1(mmd=0.0, noise=0.0)
        whole = model(**batch, stage=1, seeds=[1, 2, 3]).parts
        every, masked = decoded
        model.stage1 = Stage1(mmd=0.0, noise=0.0, known=0.3)
        shares = [model(**batch, stage=1, seeds=[n, n + 999, n + 5000]).parts for n in range(300)]
    assert all(part["slot_ce"] == whole["slot_ce"] for part in shares) and set(decoded[3::2]) == {masked}
    assert sum(decoded[2::2]) / 300 == pytest.approx(0.3 * every, rel=0.1)
    assert sum(float(part["ce"]) for part in shares) / 300 == pytest.approx(float(whole["ce"]), rel=0.1)
    model.stage1 = Stage1(mmd=0.0, noise=0.0, known=0.0)
    none = model(**batch, stage=1, seeds=[1, 2, 3]).parts
    assert none["ce"] == 0 and none["slot_ce"] == whole["slot_ce"]


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_steps_are_evaluations_and_only_the_routed_expert_is_computed(
    make_model: Make, builder: Builder, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    model = make_model()
    calls = {"trunk": 0, "encode": 0, "read": 0}

    def counting(thing: Any, name: str, key: str) -> None:
        original = getattr(thing, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls[key] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(thing, name, wrapped)

    counting(model.flow, "trunk", "trunk")
    counting(model, "encode", "encode")
    counting(model.flow.blocks[0].cross, "read", "read")
    monkeypatch.setattr(model.flow, "heads", lambda *_: pytest.fail("all experts were computed"))
    batch = builder.batch([{"text": TEXT_ROWS[0]}], [1])
    out = model.generate(batch["source_ids"], slots=batch["slots"], steps=steps, samples=3, seeds=[1])
    assert out.nfe == steps
    assert calls == {"trunk": steps, "encode": 1, "read": 1}


def test_one_head_is_that_of_all_heads(model: YanModel, batch: dict[str, torch.Tensor]) -> None:
    states = model.encode(batch["source_ids"], batch["source_mask"])
    cond = model.flow.condition(states, batch["source_mask"], batch["slots"], batch["slot_mask"], model.positions)
    features = model.flow.trunk(torch.randn(*batch["slots"].shape, 16), torch.tensor([0.0, 0.5, 0.9]), cond)
    index = torch.randint(model.config.num_experts, batch["slots"].shape)
    if model.config.scope == "sequence":  # one expert a text
        index = index[:, :1].expand_as(index)
    chosen = model.flow.heads(features).take_along_dim(index[..., None, None], -2).squeeze(-2)
    torch.testing.assert_close(model.flow.head(features, index), chosen, atol=1e-5, rtol=1e-4)


def test_generation_is_moefms_own_sampler(make_model: Make, builder: Builder) -> None:
    model = make_model()
    part = builder.batch([{"text": t} for t in TEXT_ROWS], [1, 2, 3])
    out = generate(model, part, [4, 5, 6], steps=4, z0_scale=0.7)
    states = model.encode(part["source_ids"], part["source_mask"])
    cond = model.flow.condition(states, part["source_mask"], part["slots"], part["slot_mask"])
    z0 = 0.7 * row_normal(generators([4, 5, 6]), part["slot_mask"].sum(1).tolist(), part["slots"].shape[1], 16)
    with torch.no_grad():
        z1 = sample(model.flow, z0, 4, cond=cond, mask=part["slot_mask"], assignment=out.assignment[:, 0]).z1
    tokens = model.decoder.tokens(z1).masked_fill(~part["slot_mask"], model.config.pad_token_id)
    assert torch.equal(tokens, out.tokens[:, 0])


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


BAD_CONFIGS = {
    "num_experts": ({"num_experts": 0}, "num_experts"),
    "heads": ({"d_model": 30, "num_heads": 4}, "d_model"),
    "backbone": ({"backbone": "rnn"}, "backbone must be one of mamba, transformer"),
    "prediction": ({"prediction": "noise"}, "prediction"),
    "cross": ({"cross_layers": [5]}, "cross_layers"),
    "align": ({"form": "separate"}, "align"),
    "dropout": ({"dropout": 1.0}, "dropout"),
    "conv": ({"conv": 4}, "conv"),
    "unknown": ({"num_expert": 3}, "num_expert"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_configurations_are_named(name: str) -> None:
    options, message = BAD_CONFIGS[name]
    with pytest.raises(ValueError, match=message):
        YanConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"samples": 0}, "samples"),
        ({"z0_scale": 0}, "z0_scale"),
        ({"routing": "best"}, "routing"),
        ({"seeds": [1, 2]}, "seeds"),
        ({"slots": torch.tensor([1])}, "slots"),
        ({"slots": torch.tensor([[99]])}, "max_length"),
        ({"slots": torch.zeros(2, 1, dtype=torch.long)}, "slots"),
    ],
)
def test_bad_generation_options_are_named(make_model: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_model().generate(torch.tensor([[1, 2, 3]]), **{"slots": torch.tensor([[1]]), **options})


def test_bad_stages_and_settings_are_named(make_model: Make) -> None:
    with pytest.raises(ValueError, match="stage"):
        make_model().prepare_stage(3)
    for bad in (
        {"objective": "vfm"},
        {"ce": "none"},
        {"freeze": "some"},
        {"flow": -1.0},
        {"zero_share": 2.0},
        {"steps": 0},
    ):
        with pytest.raises(ValueError):
            Stage2(**bad)
    with pytest.raises(ValueError, match="mmd"):
        Stage1(mmd=-1.0)
    for share in (1.5, -0.1):
        with pytest.raises(ValueError, match="known"):
            Stage1(known=share)


def test_texts_longer_than_the_model_are_refused(make_model: Make) -> None:
    with pytest.raises(ValueError, match="max_length=48"):
        make_model().encode(torch.zeros(1, 49, dtype=torch.long))


def test_experts_that_modulate_the_trunk_need_one_expert_a_text() -> None:
    with pytest.raises(ValueError, match="scope='sequence'"):
        YanConfig(experts="trunk")
