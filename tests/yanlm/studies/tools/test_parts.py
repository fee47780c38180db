"""Parts of a generation, and their work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from yanlm.config import YanConfig
from yanlm.modeling.build import fresh_model
from yanlm.studies.tools import parts as module
from yanlm.studies.tools.parts import Parts, shares, weight_bytes
from yanlm.studies.tools.timing import question

SIZES = {"vocab_size": 90, "pad_token_id": 88, "mask_token_id": 89, "d_model": 16, "num_heads": 2, "max_length": 24}


@pytest.mark.parametrize("options", [{}, {"scope": "sequence"}, {"form": "separate", "align": False}])
def test_the_work_is_that_of_the_layers(options: dict[str, object]) -> None:
    config = YanConfig(**SIZES, **options)
    model = fresh_model(config, 0).eval()
    asked = question(config, 20, 0.3, 0)
    source, slots = asked["source_ids"].shape[1], asked["slots"].shape[1]
    parts = Parts(model, **asked, steps=3)
    d, f, k, t = config.d_model, config.ffn_mult, config.num_experts, config.d_time
    block = (8 + 4 * f) * d * d
    encoder = config.encoder_layers * source * (block + 4 * d * source)
    keys = config.flow_layers * source * 4 * d * d + (2 * slots * d * d if config.align else 0)
    trunk = config.flow_layers * slots * (block + 4 * d * d + 4 * d * slots + 4 * d * source) + 2 * slots * d * d
    modulation = 2 * 64 * 2 * t + (3 * config.flow_layers + 1) * 2 * t * 2 * d
    experts, gate = slots * 4 * f * d * d, 2 * slots * ((2 * d + t) * d + d * k)
    head = int(asked.get("wanted", torch.ones(slots)).sum()) * (4 * f * d * d + 2 * d * config.vocab_size)
    total = encoder + keys + 3 * (trunk + modulation + experts) + gate + head
    assert parts.work()["tflop"] == pytest.approx(total / 1e12, rel=1e-9)


def test_weights_of_a_step_are_read_at_every_step() -> None:
    model = fresh_model(YanConfig(**SIZES), 0).eval()
    asked = question(model.config, 8, 1.0, 0)
    first, second = (Parts(model, **asked, steps=steps).work()["weights_gb"] for steps in (1, 2))
    assert second - first == pytest.approx((weight_bytes(model.flow) - weight_bytes(model.flow.gating)) / 1e9)


def test_every_part_is_timed() -> None:
    model = fresh_model(YanConfig(**SIZES), 0).eval()
    parts = Parts(model, **question(model.config, 8, 1.0, 0), steps=2)
    seconds = parts.seconds("cpu", 2)
    assert seconds.keys() == parts.calls.keys() and min(seconds.values()) >= 0
    assert parts.times("trunk_per_step") == 2 and parts.times("head") == 1


def test_on_a_gpu_parts_are_recorded_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(call: Callable[[], str]) -> Callable[[], str]:
        if call() == "waits":
            raise RuntimeError("cannot be recorded")
        return lambda: "replayed"

    monkeypatch.setattr(module, "cuda_graph", record)

    assert module._recorded(lambda: "waits")() == "waits" and module._recorded(lambda: "runs")() == "replayed"


def test_the_slower_of_two_limits_counts() -> None:
    found = shares({"tflop": 1.0, "weights_gb": 30.0}, 10.0, {"matrix_tflops": 1.0, "copy_gb_per_s": 10.0})
    assert found["least_seconds"] == 3 and found["share_of_copy_rate"] == 0.3 and found["share_of_matrix_rate"] == 0.1


def test_no_module_has_no_weights() -> None:
    assert weight_bytes(None) == 0 and weight_bytes(torch.nn.Linear(3, 2)) == 32
