"""Training and sampling on a pretended GPU: nothing stays on the CPU, and a step of a sampler can be recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pretend_gpu import CUDA, PretendGPU

import moefm
from moefm import MLPMixtureField, sample

FIELDS: dict[str, Callable[[], Any]] = {
    "heads": lambda: MLPMixtureField(2, 4, hidden=16),
    "one": lambda: MLPMixtureField(2, 1, hidden=16),
    "apart": lambda: MLPMixtureField(2, 3, hidden=16, separate=True),
    "wide": lambda: MLPMixtureField(2, 40, hidden=64),
    "continuum": lambda: moefm.ContinuumField(2, 4, hidden=16),
}
OBJECTIVES: dict[str, Callable[[], Any]] = {
    "paper": lambda: moefm.MoEFM(sigma=0.5),
    "consistent": moefm.ConsistentMoEFM,
    "information": lambda: moefm.MoEFM(time=moefm.InformationTime(8)),
}
WAYS: list[dict[str, Any]] = [
    {"routing": "greedy"},
    {"routing": "resampled", "solver": "heun"},
    {"routing": "mean", "solver": "rk4"},
    {"solver": "dopri5"},
    {"hint": 0.3},
    {"times": [0.0, 0.2, 1.0]},
]


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("how", OBJECTIVES)
def test_fields_are_trained_and_sampled(gpu: PretendGPU, kind: str, how: str) -> None:
    field, z0 = FIELDS[kind]().to("cuda"), torch.randn(7, 2, device="cuda")
    if kind == "one" and how != "information":
        result = moefm.fit(field, torch.randn(50, 2), moefm.VFM(), steps=3, batch_size=16)
    else:
        result = moefm.fit(field, torch.randn(50, 2, device="cuda"), OBJECTIVES[how](), steps=3, ema=0.9, clip=1.0)
    assert result.steps == 3 and all(p.device == CUDA for p in field.parameters())
    field.eval()
    for way in WAYS if how == "paper" else WAYS[:1]:
        with torch.no_grad():
            out = sample(field, z0, None if "times" in way else 3, **way)
        assert out.z1.device == CUDA and out.z1.isfinite().all()
    assert moefm.log_prob(field, z0, steps=2).device == CUDA


@pytest.mark.parametrize("coupling", ["ot", "semidiscrete"])
def test_noise_is_paired_with_data(gpu: PretendGPU, coupling: str) -> None:
    data, labels = torch.randn(40, 2, device="cuda"), torch.randint(3, (40,), device="cuda")
    chosen = moefm.SemiDiscrete(data) if coupling == "semidiscrete" else coupling
    field = MLPMixtureField(2, 2, hidden=8, num_classes=0 if coupling == "semidiscrete" else 3).to("cuda")
    cond = None if coupling == "semidiscrete" else labels
    assert moefm.fit(field, data, steps=2, batch_size=8, coupling=chosen, cond=cond).steps == 2


@pytest.mark.parametrize("method", ["progressive", "flow_map"])
def test_a_student_learns(gpu: PretendGPU, method: str) -> None:
    teacher = MLPMixtureField(2, 2, hidden=8).to("cuda")
    student, _ = moefm.distill(
        teacher,
        torch.randn(40, 2),
        steps=2 if method == "progressive" else None,
        method=method,
        teacher_steps=4,
        train_steps=2,
        batch_size=8,
    )
    assert sample(student, torch.randn(5, 2, device="cuda"), 2).z1.device == CUDA


def test_measures(gpu: PretendGPU) -> None:
    x, y = torch.randn(30, 2, device="cuda", requires_grad=True), torch.randn(30, 2, device="cuda")
    for value in (moefm.mmd2(x, y), moefm.normal_mmd2(x), moefm.scale_penalty(x), moefm.gate_entropy(x)):
        assert value.device == CUDA
        value.backward()
    assert moefm.sliced_w2(x.detach(), y) > 0


def test_a_sampler_is_recorded(gpu: PretendGPU) -> None:
    """Frozen routing with given uniforms draws nothing and reads nothing."""
    field, z0 = MLPMixtureField(2, 40, hidden=64).to("cuda").eval(), torch.zeros(7, 2, device="cuda")
    uniforms, graph = torch.rand(1, 7, device="cuda"), torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        recorded = sample(field, z0, 3, uniforms=uniforms)
    z0.copy_(torch.randn(7, 2))
    uniforms.copy_(torch.rand(1, 7))
    graph.replay()
    with torch.no_grad():
        torch.testing.assert_close(recorded.z1, sample(field, z0, 3, uniforms=uniforms).z1)
