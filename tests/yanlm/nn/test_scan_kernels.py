"""Triton's scan without a GPU: what it computes, in Triton's interpreter, and that it compiles for GPUs."""

import importlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from tests.yanlm.nn.test_selective_scan import assert_relative, gradients, inputs, naive
from yanlm.nn import selective_scan as module
from yanlm.nn.selective_scan import SEGMENT, selective_scan

pytest.importorskip("triton")
kernels = importlib.import_module("yanlm.nn.scan_kernels")

# Triton decides when it is imported whether its kernels are interpreted.
INTERPRETED = """
import json, sys
import torch
from tests.yanlm.nn.test_selective_scan import inputs
from yanlm.nn import scan_kernels as kernels

found = {}
for shape, step in json.loads(sys.argv[1]):
    x, dt, A, B, C, *_ = (tensor.detach() for tensor in inputs(*shape, dtype=torch.float32, step=step))
    y, kept = kernels.states(x, dt, A, B, C, keep=True)
    if shape[1] == 1:
        alone, none = kernels.states(x, dt, A, B, C, keep=False)
        assert torch.equal(y, alone) and none.numel() == 0
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64).float()
    grads = kernels.gradients(weight, x, dt, A, B, C, kept)
    found[str((shape, step))] = [tensor.tolist() for tensor in (y, kept, *grads)]
right = kernels.is_right("cpu")
honest = kernels.gradients
kernels.gradients = lambda *args: tuple(1.001 * gradient for gradient in honest(*args))
print(json.dumps({"found": found, "right": right, "wrong": kernels.is_right("cpu")}))
"""
CASES = [
    ([2, 18, 9, 16], 0.1),  # two segments, the second short; two blocks of channels, the second of one
    ([1, 18, 2, 3], 10.0),  # states that are no power of two, and steps after which nothing is left
    ([1, 1, 1, 1], 0.1),
    ([1, 32, 1, 2], 0.1),
]


@pytest.fixture(scope="module")
def interpreted():
    run = subprocess.run(
        [sys.executable, "-c", INTERPRETED, json.dumps(CASES)],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(["", *filter(None, sys.path)])},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("shape, step", CASES, ids=str)
def test_is_the_naive_float64_loop(interpreted, shape, step):
    arguments = inputs(*shape, step=step)[:5]
    y, kept, *grads = (torch.tensor(values) for values in interpreted["found"][str((shape, step))])
    expected, expected_grads = gradients(naive, arguments)
    assert_relative(y, expected, 1e-6)
    for name, grad, reference in zip(("x", "dt", "A", "B", "C"), grads, expected_grads, strict=True):
        assert grad.shape == reference.shape, name
        assert_relative(grad, reference, 1e-6)
    _, states = module.scan_states(*(tensor.detach().float() for tensor in arguments), SEGMENT, True)
    assert_relative(kept, states.double(), 1e-6)


def test_it_knows_whether_it_is_right(interpreted):
    assert interpreted["right"] and not interpreted["wrong"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shape", [(2, 100, 40, 16), (1, 37, 9, 5)], ids=str)
def test_runs_on_a_gpu(shape):
    assert kernels.is_right("cuda")
    arguments = inputs(*shape, dtype=torch.float32)
    expected, expected_grads = gradients(naive, inputs(*shape))
    y, grads = gradients(lambda *args: selective_scan(*(tensor.cuda() for tensor in args)).cpu(), arguments)
    for given, right in zip((y, *grads), (expected, *expected_grads), strict=True):
        assert_relative(given, right, 1e-5)


@pytest.mark.parametrize(
    "capability, states, ones",
    [(80, 16, ()), (90, 16, ()), (90, 64, ()), (90, 1, ("size",)), (90, 1, ("length", "channels", "size"))],
    ids=str,
)
def test_compiles_for_gpus(monkeypatch, tmp_path, capability, states, ones):
    """A number that is 1 is compiled as a constant."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for kernel, flags in ((kernels._states, {"KEEP": True}), (kernels._gradients, {})):
        constants = {**kernels._tile(states), **flags, **dict.fromkeys(ones, 1)}
        numbers = dict.fromkeys(("length", "channels", "size"), "i32")
        signature = dict.fromkeys(kernel.arg_names, "*fp32") | numbers | dict.fromkeys(constants, "constexpr")
        source = ASTSource(kernel, signature, constexprs=constants)
        assert triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]


def test_its_kernels_take_the_place_of_the_loop(monkeypatch):
    called = []

    class Kernels:
        @staticmethod
        def states(x, dt, A, B, C, keep):
            called.append("states")
            return loop_states(x, dt, A, B, C, SEGMENT, keep)

        @staticmethod
        def gradients(grad, x, dt, A, B, C, kept):
            called.append("gradients")
            return loop_gradients(grad, x, dt, A, B, C, kept, SEGMENT)

    loop_states, loop_gradients = module.scan_states._init_fn, module.scan_gradients._init_fn
    chosen = iter([Kernels, None, Kernels, None])  # each loop asks again
    monkeypatch.setattr(module, "_on_gpu", lambda *given: next(chosen))
    arguments = inputs(2, 20, 3, 4)
    y, grads = gradients(lambda *args: selective_scan(*args, segment=SEGMENT), arguments)
    expected, expected_grads = gradients(naive, arguments)
    assert called == ["states", "gradients"]
    assert_relative(y, expected, 1e-12)
    for grad, reference in zip(grads, expected_grads, strict=True):
        assert_relative(grad, reference, 1e-12)


def test_what_the_kernels_are_for(monkeypatch):
    monkeypatch.setattr(module, "triton_scan", lambda: SimpleNamespace(module="kernels"))

    def on(segment=SEGMENT, **other):
        usual = {"is_cuda": True, "dtype": torch.float32, "numel": lambda: 4}
        return module._on_gpu(segment, SimpleNamespace(**usual), SimpleNamespace(**(usual | other)))

    assert on() == "kernels"
    assert on(is_cuda=False) is on(dtype=torch.float64) is on(numel=lambda: 0) is on(segment=8) is None
    assert SEGMENT == kernels._tile(4)["STEPS"]
    assert module._segment(torch.empty(1, 1, 4, device="meta"), torch.ones(4, 2)) == SEGMENT
