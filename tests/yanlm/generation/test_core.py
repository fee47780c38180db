"""The part of a generation that never leaves the device: the same as moefm's sampler, and the host is not touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from far_device import far, moved, recording
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import DENOISERS, KINDS, Batch, speaking

from moefm import sample
from moefm.routing import ROUTINGS, Frozen, draw_uniforms
from moefm.solvers import SOLVERS
from yanlm.generation.core import Filled, Given, expert_draws, fill, fixed
from yanlm.generation.denoising import fill_by_encoder
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.yan import YanModel
from yanlm.seeding import EXPERT, NOISE, row_normal, sample_streams

Make = Callable[..., YanModel]
ENCODERS = {**DENOISERS, "sentence": {"num_experts": 4, "scope": "sentence", "sentence_ends": [7, 8]}}
ROWS, SLOTS = 3, 4


@pytest.fixture(scope="module")
def models() -> dict[str, YanModel]:
    return {}


@torch.no_grad()
def sampled(model: YanModel, part: Batch, seeds: list[int], options: GenerationOptions) -> Any:
    """The flow by moefm's sampler, which draws experts from generators as it goes."""
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    ids, mask, slots, slot_mask = (part[name] for name in names)
    cond = model.condition(model.encode(ids, mask), ids, mask, slots, slot_mask).repeated(options.samples)
    noise, experts = (sample_streams(seeds, options.samples, salt) for salt in (NOISE, EXPERT))
    held = slot_mask.repeat_interleave(options.samples, 0)
    z0 = options.z0_scale * row_normal(noise, held, model.config.d_model)
    how = {"solver": options.solver, "routing": options.routing, "generator": experts}
    out = sample(model.flow, z0, options.steps, cond=cond, scope=cond.scope, mask=cond.mask, **how)  # type: ignore[arg-type]
    return model.decoder(out.z1).argmax(-1), out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    routing=st.sampled_from([*sorted(ROUTINGS), Frozen()]),
    solver=st.sampled_from(sorted(SOLVERS)),
    steps=st.integers(1, 3),
    samples=st.integers(1, 2),
    seeds=st.lists(st.integers(0, 2**40), min_size=3, max_size=3),
)
def test_generation_is_that_of_the_sampler(
    make_model: Make,
    models: dict[str, YanModel],
    batch_of: Callable[[YanModel], Batch],
    kind: str,
    routing: Any,
    solver: str,
    steps: int,
    samples: int,
    seeds: list[int],
) -> None:
    if kind not in models:
        models[kind] = speaking(make_model(**KINDS[kind]))
    model, part = models[kind], batch_of(models[kind])
    options = GenerationOptions(steps=steps, samples=samples, routing=routing, solver=solver, z0_scale=0.8)
    tokens, out = sampled(model, part, seeds, options)
    result = model.generate(
        **{n: part[n] for n in ("source_ids", "source_mask", "slots", "slot_mask")}, options=options, seeds=seeds
    )  # type: ignore[arg-type]
    held = part["slot_mask"].repeat_interleave(samples, 0)
    assert result.nfe == out.nfe
    assert torch.equal(result.tokens.flatten(0, 1)[held], tokens[held])
    if out.assignment is not None:
        assert torch.equal(result.assignment.flatten(0, 1)[held], out.assignment[held])


@pytest.fixture
def batch_of(tokenizer: Any) -> Callable[[YanModel], Batch]:
    from toys import TEXT_ROWS

    from yanlm.tokenization.examples import Builder

    def make(model: YanModel) -> Batch:
        build = Builder(tokenizer, form=model.config.form, max_length=48)
        return build.batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3])

    return make


def some_given(model: YanModel, options: GenerationOptions) -> Given:
    """What a generation reads, of two texts and some samples each."""
    many = ROWS * options.samples * options.candidates
    denoises, length, experts = model.can.denoises, 8, model.config.num_experts
    dim = model.denoiser.dim if denoises else model.config.d_model
    return Given(
        torch.randint(5, 50, (ROWS, length)),
        torch.ones(ROWS, length, dtype=torch.bool),
        torch.arange(SLOTS).expand(ROWS, -1).contiguous(),
        torch.arange(SLOTS).expand(ROWS, -1) < torch.tensor([[4], [2], [3]]),
        torch.randn(many, SLOTS, dim),
        torch.rand(expert_draws(options) or 0, many, SLOTS),
        points=torch.rand(many, SLOTS, experts) if denoises and model.denoiser.line is not None else None,
        words=torch.rand(many, SLOTS) if options.temperature else None,
        judge=torch.randn(many, SLOTS, dim) if options.candidates > 1 else None,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_host_is_not_touched(
    make_model: Make, monkeypatch: pytest.MonkeyPatch, kind: str, dtype: torch.dtype
) -> None:
    model = moved(make_model(**KINDS[kind]).to(dtype))
    choices = torch.randint(5, 50, (3, SLOTS), device="meta")
    for how in ({"samples": 2}, {"routing": "resampled", "solver": "heun"}, {"routing": "mean"}):
        options = GenerationOptions(**how)
        read = Given(*map(far, some_given(model, options)))
        with recording(monkeypatch):
            out = fill(model, read, options)
            known = fill(model, read._replace(choices=choices), options)
        assert out.tokens.shape == known.tokens.shape == read.noise.shape[:2]


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_host_is_not_touched_where_the_encoder_denoises(
    make_model: Make, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model = moved(make_model(denoiser="encoder", latent_dim=8, **ENCODERS[kind]))
    choices = torch.randint(5, 50, (3, SLOTS), device="meta")
    for how in (
        {},
        {"routing": "resampled"},
        {"routing": "mean"},
        {"temperature": 1.0},
        {"candidates": 2, "samples": 2},
    ):
        options = GenerationOptions(**how)  # type: ignore[arg-type]
        read = Given(*map(far, some_given(model, options)))
        with recording(monkeypatch):
            out = fill_by_encoder(model, read, options)
            if not options.temperature and options.candidates == 1:
                fill_by_encoder(model, read._replace(choices=choices), options)
        assert out.tokens.shape == (ROWS * options.samples, SLOTS)


def test_a_look_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.empty(3, device="meta")
    for look in (
        lambda: int(x.max()),
        lambda: x[torch.tensor([1])],
        lambda: x.nonzero(),
        lambda: bool(torch.equal(x, x)),
    ):
        with pytest.raises((AssertionError, RuntimeError, NotImplementedError)), recording(monkeypatch):
            look()


@pytest.mark.parametrize("kind", ENCODERS)
def test_uniforms_stand_for_generators(make_model: Make, kind: str) -> None:
    model = speaking(make_model(denoiser="encoder", latent_dim=8, **ENCODERS[kind]))
    for routing in ("frozen", "resampled"):
        options = GenerationOptions(steps=2, samples=2, routing=routing)
        read = some_given(model, options)
        by_hand, drawn = (sample_streams([1, 2, 3], 2, EXPERT) for _ in range(2))
        uniforms = draw_uniforms(expert_draws(options) or 0, read.noise.shape[:2], drawn)
        with torch.no_grad():
            ours, theirs = (
                fill_by_encoder(model, read._replace(uniforms=uniforms), options),
                fill_by_encoder(model, read._replace(uniforms=None), options, by_hand),
            )
        assert torch.equal(ours.tokens, theirs.tokens) and torch.equal(ours.assignment, theirs.assignment)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "draws", "is_fixed"),
    [
        ({}, 1, True),
        ({"routing": "mean"}, 0, True),
        ({"routing": "resampled", "steps": 2, "solver": "rk4"}, 8, True),
        ({"routing": "resampled", "solver": "explicit_adams"}, None, False),
        ({"solver": "dopri5"}, 1, False),
        ({"routing": Frozen()}, None, False),
    ],
)
def test_draws(options: dict[str, Any], draws: int | None, is_fixed: bool) -> None:
    made = GenerationOptions(**options)
    assert expert_draws(made) == draws and fixed(made) is is_fixed


def test_numbers_that_are_not_finite_are_seen_at_the_end() -> None:
    tokens = torch.zeros(2, 3, dtype=torch.long)
    Filled(tokens, torch.zeros(2, 3), None, None, 3).generation(1)
    with pytest.raises(ValueError, match="not finite"):
        Filled(tokens, torch.tensor([[0.0, torch.nan, 0.0]] * 2), None, None, 3).generation(1)
