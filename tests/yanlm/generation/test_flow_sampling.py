"""Slots filled from noise: what a text becomes does not depend on the texts beside it, whatever routes its latents."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import TEXT_ROWS

from moefm import sample
from moefm.routing import ROUTINGS
from moefm.solvers import SOLVERS
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.yan import YanModel
from yanlm.seeding import generators, row_normal
from yanlm.tokenization.collation import Example
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]
KINDS: dict[str, dict[str, Any]] = {
    "words": {},
    "spans": {"scope": "span"},
    "texts": {"scope": "sequence", "experts": "source"},
    "separate": {"form": "separate", "align": False},
}
texts = st.lists(st.integers(0, 250) | st.just(-1), min_size=1, max_size=10).filter(lambda ids: -1 in ids)


@pytest.fixture(scope="module")
def models() -> dict[str, YanModel]:
    return {}


def shaken(model: YanModel) -> YanModel:
    """The model with weights so large that experts differ, and no one of them is always right."""
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in model.flow.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model


def filled(model: YanModel, builder: Builder, rows: list[tuple[list[int], int]], options: GenerationOptions) -> Any:
    """Tokens and experts of every text with its seed, generated together."""
    examples = []
    for ids, _ in rows:
        source = [builder.mask if id < 0 else id for id in ids]
        slots = [place for place, id in enumerate(ids) if id < 0]
        whole = list(range(len(ids))) if builder.form == "separate" else slots
        examples.append(Example(source, source, whole, [1] * len(slots)))
    batch = builder.collate(examples)
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    seeds = [seed for _, seed in rows]
    out = model.generate(**{name: batch[name] for name in names}, options=options, seeds=seeds)  # type: ignore[arg-type]
    counts = batch["slot_mask"].sum(1).tolist()
    experts = out.tokens * 0 if out.assignment is None else out.assignment
    return [(out.tokens[row, :, :n].tolist(), experts[row, :, :n].tolist()) for row, n in enumerate(counts)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    routing=st.sampled_from(sorted(ROUTINGS)),
    solver=st.sampled_from(sorted(SOLVERS)),
    steps=st.integers(1, 4),
    samples=st.integers(1, 2),
    reread=st.booleans(),
    rows=st.lists(st.tuples(texts, st.integers(0, 2**40)), min_size=2, max_size=4),
)
def test_a_text_is_the_same_alone_and_among_others(
    make_model: Make,
    tokenizer: Any,
    models: dict[str, YanModel],
    kind: str,
    routing: str,
    solver: str,
    steps: int,
    samples: int,
    reread: bool,
    rows: list[tuple[list[int], int]],
) -> None:
    if kind not in models:
        models[kind] = shaken(make_model(num_experts=5, **KINDS[kind]))
    model = models[kind]
    builder = Builder(tokenizer, form=model.config.form, max_length=48)
    options = GenerationOptions(steps=steps, samples=samples, routing=routing, solver=solver)
    if reread and model.can.reread:
        options = GenerationOptions(steps=steps, samples=samples, routing=routing, reread=True, temperature=1.0)
    together = filled(model, builder, rows, options)
    assert together[::-1] == filled(model, builder, rows[::-1], options), "their order made a difference"
    for row, result in zip(rows, together, strict=True):
        assert [result] == filled(model, builder, [row], options), "texts beside it made a difference"


def test_several_steps_draw_experts_anew(make_model: Make) -> None:
    model = make_model(num_experts=5)  # all experts are about as likely
    mask = int(model.config.mask_token_id or 0)
    source, slots = torch.tensor([[5, *[mask] * 20]]), torch.arange(1, 21)[None]
    experts = [
        model.generate(source, slots=slots, steps=steps, routing="resampled", seeds=[3]).assignment
        for steps in (1, 2, 3)
    ]
    assert not any(torch.equal(one, other) for one, other in pairwise(experts))  # type: ignore[arg-type]


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


def test_generation_is_moefms_own_sampler(make_model: Make, builder: Builder) -> None:
    model = make_model()
    part = builder.batch([{"text": t} for t in TEXT_ROWS], [1, 2, 3])
    names = ("source_ids", "source_mask", "slots", "slot_mask")
    out = model.generate(**{name: part[name] for name in names}, seeds=[4, 5, 6], steps=4, z0_scale=0.7)
    states = model.encode(part["source_ids"], part["source_mask"])
    cond = model.flow.condition(states, part["source_mask"], part["slots"], part["slot_mask"])
    z0 = 0.7 * row_normal(generators([4, 5, 6]), part["slot_mask"], 16)
    with torch.no_grad():
        z1 = sample(model.flow, z0, 4, cond=cond, mask=part["slot_mask"], assignment=out.assignment[:, 0]).z1
    tokens = model.decoder.tokens(z1).masked_fill(~part["slot_mask"], model.config.pad_token_id)
    assert torch.equal(tokens, out.tokens[:, 0])


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


@pytest.mark.parametrize("kind", KINDS)
def test_wanted_tokens_are_those_of_all(make_model: Make, tokenizer: Any, kind: str) -> None:
    model = shaken(make_model(num_experts=5, **KINDS[kind]))
    builder = Builder(tokenizer, form=model.config.form, max_length=48)
    part = builder.batch([{"text": text} for text in TEXT_ROWS], [1, 2, 3])
    given = {name: part[name] for name in ("source_ids", "source_mask", "slots", "slot_mask")}
    wanted = part["slot_mask"] & (torch.arange(part["slots"].shape[1]) % 3 == 0)
    every, some = (
        model.generate(**given, samples=2, seeds=[1, 2, 3], **more)  # type: ignore[arg-type]
        for more in ({}, {"wanted": wanted})
    )
    assert torch.equal(some.assignment, every.assignment)  # type: ignore[arg-type]
    shown = wanted.unsqueeze(1).expand_as(every.tokens)
    assert torch.equal(some.tokens, every.tokens.masked_fill(~shown, model.config.pad_token_id or 0))


@pytest.mark.parametrize(
    ("wanted", "more", "error", "says"),
    [
        (torch.ones(1, 3, dtype=torch.bool), {}, ValueError, "wanted must have shape"),
        (torch.ones(1, 2), {}, TypeError, "boolean"),
        (torch.zeros(1, 2, dtype=torch.bool), {}, ValueError, "at least one slot"),
        (torch.tensor([[True, True]]), {"slot_mask": torch.tensor([[True, False]])}, ValueError, "outside slot_mask"),
        (torch.tensor([[True, True]]), {"choices": torch.tensor([[3, 4]])}, ValueError, "beside choices"),
        (torch.tensor([[True, True]]), {"reread": True}, ValueError, "does not reread"),
    ],
)
def test_what_cannot_be_wanted(make_model: Make, wanted: Any, more: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make_model().generate(torch.tensor([[1, 2, 3]]), slots=torch.tensor([[1, 2]]), wanted=wanted, **more)


def test_on_the_host_noise_of_the_device_is_that_of_the_host(make_model: Make) -> None:
    model = shaken(make_model(num_experts=5))
    source, slots = torch.tensor([[5, 6, 7, 8]] * 2), torch.tensor([[1, 2]] * 2)
    outs = [model.generate(source, slots=slots, samples=3, seeds=[1, 2], device_noise=own) for own in (False, True)]
    assert torch.equal(outs[0].tokens, outs[1].tokens)
