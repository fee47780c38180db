"""Generation by recordings, with a stand-in for a GPU's: the same tokens, whatever the shapes are rounded to."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from recorded import Recorded
from toys import TEXT_ROWS, Batch, generate, speaking

from yanlm.generation import cuda_graphs
from yanlm.generation.core import Filled, Given
from yanlm.generation.cuda_graphs import can_record, replays_of
from yanlm.generation.options import GenerationOptions
from yanlm.generation.replays import Replays
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]
KINDS: dict[str, dict[str, Any]] = {
    "words": {},
    "spans": {"scope": "span"},
    "source": {"scope": "sequence", "experts": "source"},
    "mamba": {"backbone": "mamba", "positions": "learned"},
    "denoiser": {"denoiser": "encoder", "latent_dim": 8, "scope": "span"},
    "continuum": {"denoiser": "encoder", "latent_dim": 8, "scope": "sequence", "experts": "continuum"},
}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, with recordings that are made of copies."""
    monkeypatch.setattr(cuda_graphs, "can_record", lambda *_: True)
    monkeypatch.setattr(cuda_graphs, "CudaGraph", Recorded)


def same(a: Any, b: Any) -> bool:
    scores = a.scores is None or torch.allclose(a.scores, b.scores, atol=1e-4)
    return torch.equal(a.tokens, b.tokens) and a.nfe == b.nfe and scores


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_the_same(
    make_model: Make, builder: Builder, kind: str, recorded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = speaking(make_model(**KINDS[kind]))
    plain = copy.deepcopy(model)
    batches = [builder.batch([{"text": text} for text in TEXT_ROWS[:n]], [1, 2, 3][:n]) for n in (3, 1, 2, 3, 3)]
    options: list[dict[str, Any]] = [{}, {"samples": 2, "routing": "resampled", "z0_scale": 0.5}]
    if model.can.denoises:
        options.append({"temperature": 1.0, "candidates": 2})
    for how in options:
        for number, part in enumerate(batches):
            seeds = list(range(number, number + len(part["slots"])))
            fast = generate(model, part, seeds, **how)
            with monkeypatch.context() as patch:
                patch.setattr(cuda_graphs, "can_record", lambda *_: False)
                assert same(fast, generate(plain, part, seeds, **how))
    assert len(replays_of(model)) == len(options) and plain not in cuda_graphs._REPLAYS


def test_known_answers(make_model: Make, recorded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = speaking(make_model())
    source, slots = torch.randint(5, 50, (2, 9)), torch.tensor([[2, 3, 5]] * 2)
    choices = torch.randint(5, 50, (4, 3))
    outs = [model.generate(source, slots=slots, choices=choices, seeds=[1, 2]) for _ in range(3)]
    assert len(replays_of(model)) == 1 and all(same(outs[0], out) for out in outs)


def test_weights_that_moved_are_seen(make_model: Make, builder: Builder, recorded: None) -> None:
    model = speaking(make_model())
    part = builder.batch([{"text": TEXT_ROWS[0]}], [1])
    for _ in range(2):
        generate(model, part, [1])
    assert len(replays_of(model)) == 1
    model.double().float()
    generate(model, part, [1])
    assert len(replays_of(model)) == 0


def test_inference_mode_has_recordings_of_its_own(make_model: Make, batch_of_one: Batch, recorded: None) -> None:
    model = speaking(make_model())
    outs = []
    for number in range(6):
        with torch.inference_mode(number % 2 == 0):
            outs.append(generate(model, batch_of_one, [1]).tokens.tolist())
    assert len(replays_of(model)) == 2 and all(out == outs[0] for out in outs)


def test_noise_of_the_device_has_no_recording_of_its_own(make_model: Make, batch_of_one: Batch, recorded: None) -> None:
    model = speaking(make_model())
    outs = [generate(model, batch_of_one, [1], device_noise=own).tokens for own in (False, True, False, True)]
    assert len(replays_of(model)) == 1 and all(torch.equal(out, outs[0]) for out in outs)


def test_hooks_are_called(make_model: Make, batch_of_one: Batch, recorded: None) -> None:
    model, calls = speaking(make_model()), []
    for _ in range(3):
        generate(model, batch_of_one, [1])
    handle = model.encoder.register_forward_hook(lambda *_: calls.append(1))
    generate(model, batch_of_one, [1])
    assert calls == [1]
    handle.remove()
    generate(model, batch_of_one, [1])
    assert calls == [1] and len(replays_of(model)) == 1


def test_a_cpu_records_nothing(make_model: Make, batch_of_one: Batch) -> None:
    model = make_model()
    for _ in range(3):
        generate(model, batch_of_one, [1])
    assert model not in cuda_graphs._REPLAYS and not can_record(model, GenerationOptions())
    assert model.prepare_for_generation([(1, 16, 4)]) == 0


@pytest.fixture
def batch_of_one(builder: Builder) -> Batch:
    return builder.batch([{"text": TEXT_ROWS[0]}], [1])


def test_preparing(make_model: Make, recorded: None) -> None:
    model = make_model()
    assert model.prepare_for_generation([(1, 16, 4), (2, 16, 4)], steps=2, most=5, memory=1000) == 2
    replays: Replays = replays_of(model)
    assert replays.most == 5 and replays.memory == 1000
    made = len(replays)
    model.generate(torch.randint(5, 50, (1, 15)), slots=torch.arange(4)[None], source_mask=None, steps=2, seeds=[3])
    assert len(replays) == made  # a text alone, but shorter: its first time


@pytest.mark.parametrize(
    ("shapes", "options", "says"),
    [
        ([(1, 16)], {}, "three a shape"),
        ([(1, 0, 4)], {}, "shapes must be an integer"),
        ([(1, 16, 4)], {"most": 0}, "most"),
        ([(1, 16, 4)], {"stepz": 3}, "stepz"),
    ],
)
def test_what_cannot_be_prepared(make_model: Make, shapes: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_model().prepare_for_generation(shapes, **options)


def test_every_shape_is_compiled_for_itself() -> None:
    def run(read: Given) -> Filled:
        return Filled(read.slots + 1, read.noise.sum(-1), None, None, 3)

    fast = cuda_graphs.compiled(run, backend="eager")
    for rows in (1, 2, 3):
        slots = torch.arange(4).repeat(rows, 1)
        out = fast(Given(slots, None, slots, None, torch.ones(rows, 4, 2)))
        assert torch.equal(out.tokens, slots + 1) and out.computed.shape == (rows, 4) and out.nfe == 3


def test_compiled_recordings_are_asked_for(make_model: Make, recorded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(cuda_graphs, "CudaGraph", lambda run, read, **how: made.append(how) or Recorded(run, read))
    model = make_model()
    model.prepare_for_generation([(1, 16, 4)], compile=True)
    model.prepare_for_generation([(1, 24, 4)])
    assert made == [{"compile": True}, {}]
