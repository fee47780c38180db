"""Training and generation on a pretended GPU: nothing stays on the CPU, nothing is read while kernels are recorded."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pretend_gpu import CUDA, PretendGPU, pretend_gpu
from toys import speaking

import yanlm
from yanlm import Writer
from yanlm.generation.cuda_graphs import replays_of

SIZES = {"d_model": 16, "num_heads": 2, "encoder_layers": 2, "max_length": 48}
TRAININGS: dict[str, dict[str, Any]] = {
    "paper": {"model": SIZES | {"flow_layers": 1, "cross_layers": [0]}, "recipe2": {"batch_size": 4, "ema": 0.9}},
    "mamba": {"model": SIZES | {"flow_layers": 1, "cross_layers": [0], "backbone": "mamba"}},
    "denoiser": {"model": SIZES | {"denoiser": "encoder", "num_experts": 2}, "denoising": {"reveal": 0.5}},
    "muon": {"model": SIZES, "baseline": "mdlm", "recipe1": {"batch_size": 4, "optimizer": "muon"}},
    "gpt2": {"model": SIZES, "baseline": "gpt2"},
}
WAYS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "paper": (
        {},
        [{}, {"routing": "resampled", "solver": "heun"}, {"samples": 2, "routing": "mean"}, {"reread": True}],
    ),
    "mamba": ({"backbone": "mamba"}, [{}]),
    "denoiser": (
        {"denoiser": "encoder", "latent_dim": 8},
        [{}, {"temperature": 1.0, "candidates": 2}, {"reread": True}, {"sampler": "diffusion"}, {"device_noise": True}],
    ),
    "source": ({"denoiser": "encoder", "latent_dim": 8, "scope": "sequence", "experts": "source"}, [{"perturb": 1.0}]),
}
PROMPTS = ["the cat <mask> on <mask>", "a <mask> near the river", "<mask> house and the dog"]


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_run_trains_and_reports(kind: str, tmp_path: Path, fresh_accelerate: None) -> None:
    (tmp_path / "rows.txt").write_text("\n".join(f"a small text {i} of a few words" for i in range(40)))
    options: dict[str, Any] = {
        "data": [str(tmp_path / "rows.txt")],
        "tokenizer": "words:60",
        "steps1": 2,
        "eval_rows": 4,
    }
    if kind in ("paper", "mamba"):
        options["steps2"] = 2
    options |= {"recipe1": {"batch_size": 4}} | TRAININGS[kind]
    with pretend_gpu():
        record = yanlm.train(yanlm.resolve(options), tmp_path / "run", device="cuda")
        assert yanlm.load_model(tmp_path / "run", "cuda").device == CUDA
    assert record is not None and set(record["stages"]) == ({"1", "2"} if "steps2" in options else {"1"})
    assert yanlm.load_model(tmp_path / "run").device.type == "cpu"


@pytest.mark.parametrize("kind", WAYS)
def test_a_recording_writes_what_a_cpu_writes(kind: str, make_model: Callable[..., Any], tokenizer: Any) -> None:
    sizes, ways = WAYS[kind]
    model = speaking(make_model(**sizes))
    on_cpu = Writer(copy.deepcopy(model), tokenizer)
    expected = [[on_cpu.write(PROMPTS, length=2, seed=seed, **way) for seed in range(4)] for way in ways]
    with pretend_gpu(), warnings.catch_warnings():
        warnings.simplefilter("error")  # that a generation cannot be recorded is a warning
        model.to("cuda")
        writer = Writer(model, tokenizer)
        for way, texts in zip(ways, expected, strict=True):
            for seed, told in enumerate(texts):
                got = writer.write(PROMPTS, length=2, seed=seed, **way)
                assert [x.text for x in got] == [x.text for x in told], (way, seed)
        same_or_in_turns = sum(not {"reread", "sampler", "device_noise"}.isdisjoint(way) for way in ways)
        assert len(replays_of(model)) == len(ways) - same_or_in_turns


def test_gpt2_records_its_steps(make_ar: Callable[..., Any], tokenizer: Any) -> None:
    model = make_ar()
    expected = Writer(copy.deepcopy(model), tokenizer).write(PROMPTS, length=4, seed=0, temperature=1.0)
    with pretend_gpu():
        got = Writer(model.to("cuda"), tokenizer).write(PROMPTS, length=4, seed=0, temperature=1.0)
    assert [x.text for x in got] == [x.text for x in expected]


def test_shapes_are_prepared(gpu: PretendGPU, make_model: Callable[..., Any]) -> None:
    model = make_model().to("cuda")
    assert model.prepare_for_generation([(1, 16, 4), (2, 16, 8)], steps=2) == 2


def test_faults_of_a_gpu_are_seen(gpu: PretendGPU) -> None:
    here, there = torch.ones(3), torch.ones(3, device="cuda")
    assert (there * 2)[1:].device == CUDA and (there.cpu() + here).device.type == "cpu" and there.is_cuda
    with pytest.raises(RuntimeError, match="same device: add"):
        torch.add(here, there)
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(2, generator=torch.Generator(), device="cuda")
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    for read in (lambda: there.sum().item(), lambda: there[there > 0], lambda: there.to("cpu"), lambda: there[[0, 1]]):
        read()
        with pytest.raises(RuntimeError, match="capturing"), torch.cuda.graph(torch.cuda.CUDAGraph()):
            read()


def test_a_recording_computes_nothing_until_it_is_replayed(gpu: PretendGPU) -> None:
    given, total = torch.ones(2, device="cuda"), torch.zeros(2, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        doubled = 2 * given
        total.add_(doubled)
    assert total.tolist() == [0, 0]
    given.fill_(3)
    graph.replay()
    graph.replay()
    assert doubled.tolist() == [6, 6] and total.tolist() == [12, 12]
