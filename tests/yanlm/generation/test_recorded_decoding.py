"""Steps of fixed shapes write what steps that grow write; a stand-in records them where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from yanlm.generation import autoregressive
from yanlm.generation.recorded_decoding import Step, cuda_graph
from yanlm.modeling.autoregressive import ARModel

Make = Callable[..., ARModel]


class Recorder:
    """Replays a step as a GPU does: the same tensors are read and written, whatever Python objects stand for them."""

    def __init__(self) -> None:
        self.recordings, self.replays = 0, 0

    def __call__(self, step: Step) -> Step:
        self.recordings += 1
        result: list[torch.Tensor] = []

        def replay() -> torch.Tensor:
            self.replays += 1
            logits = step()
            if not result:
                result.append(logits.clone())
            return result[0].copy_(logits)

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(autoregressive, "cuda_graph", recorder)
    return recorder


def asked(model: ARModel) -> dict[str, Any]:
    mask = model.config.mask_token_id
    source = torch.tensor([[5, mask, mask, 7, mask, 9, 8, mask], [mask] * 6 + [0, 0], [4, 3, mask, 5, 0, 0, 0, 0]])
    slots = [[1, 2, 4, 7, 0, 0], [0, 1, 2, 3, 4, 5], [2, 0, 0, 0, 0, 0]]
    held = [[True] * 4 + [False] * 2, [True] * 6, [True] + [False] * 5]
    return {
        "source_ids": source,
        "source_mask": torch.tensor([[True] * 8, [True] * 6 + [False] * 2, [True] * 4 + [False] * 4]),
        "slots": torch.tensor(slots),
        "slot_mask": torch.tensor(held),
    }


@pytest.mark.parametrize("method", ["gpt2", "bart"])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "samples": 2}])
def test_tokens_are_the_same(
    make_ar: Make, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, method: str, options: dict[str, Any]
) -> None:
    model = make_ar(method=method)
    plain = model.generate(**asked(model), seeds=[1, 2, 3], **options)
    assert not recorder.recordings
    monkeypatch.setattr(autoregressive, "can_record", lambda _: True)
    again = model.generate(**asked(model), seeds=[1, 2, 3], **options)
    assert torch.equal(plain.tokens, again.tokens) and plain.nfe == again.nfe and len(plain.tokens.unique()) > 4
    assert recorder.recordings == 1 and recorder.replays == plain.nfe - 2


@pytest.mark.parametrize("method", ["gpt2", "bart"])
def test_logits_are_those_of_a_growing_cache(make_ar: Make, recorder: Recorder, method: str) -> None:
    model = make_ar(method=method)
    before = model.read(**asked(model))
    tokens = torch.randint(5, 50, (7, 3), generator=torch.Generator().manual_seed(0))
    growing, fixed = autoregressive.Pen(model, before), autoregressive.Pen(model, before)
    fixed.recorded = autoregressive.RecordedDecoder(model, fixed.ids, fixed.seen, fixed.encoded, 7, recorder)
    with torch.no_grad():
        for own in tokens:
            torch.testing.assert_close(growing.write(own), fixed.write(own), atol=1e-5, rtol=1e-4)


class _Looks(TorchDispatchMode):
    """Notes operations whose result the host would have to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        if name in ("_local_scalar_dense", "nonzero", "is_nonzero", "item", "equal", "masked_select", "lift_fresh"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", ["gpt2", "bart"])
def test_a_step_never_waits_for_the_device(make_ar: Make, method: str) -> None:
    model = make_ar(method=method)
    pen = autoregressive.Pen(model, model.read(**asked(model)))
    decoder = autoregressive.RecordedDecoder(model, pen.ids, pen.seen, pen.encoded, 7, cuda_graph)
    with torch.no_grad():
        for _ in range(2):
            decoder(torch.tensor([5, 6, 7]))
        with _Looks() as looks:
            decoder._step()
            assert not looks.seen
            decoder.at.item()
            assert looks.seen == ["_local_scalar_dense"]


def test_nothing_is_recorded_on_a_cpu_or_in_training(make_ar: Make) -> None:
    model = make_ar(method="gpt2")
    assert not autoregressive.can_record(model)
    assert autoregressive.Pen(model, model.read(**asked(model)), 5).recorded is None


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", ["gpt2", "bart"])
def test_a_gpu_records(make_ar: Make, method: str) -> None:
    model = make_ar(method=method)
    plain = model.generate(**asked(model), seeds=[1, 2, 3]).tokens
    model.cuda()
    given = {name: tensor.cuda() for name, tensor in asked(model).items()}
    assert autoregressive.can_record(model) and callable(cuda_graph)
    assert torch.equal(model.generate(**given, seeds=[1, 2, 3]).tokens.cpu(), plain)
