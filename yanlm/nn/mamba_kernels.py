"""Which kernels for the scan can be used here, mamba-ssm's or Triton's, and why not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

EXTENSION = "selective_scan_cuda"
"""The module of mamba-ssm that holds the kernel."""

INSTALL = "MAMBA_KEEP_CUDA_BUILD=TRUE pip install mamba-ssm --no-build-isolation"
"""Since July 2026 mamba-ssm leaves its CUDA kernel out unless this variable is set."""


class Kernels(NamedTuple):
    """mamba_ssm's scan and causal_conv1d's convolution, ``None`` where they do not import, and the reason."""

    scan: Callable[..., Tensor] | None
    convolve: Callable[..., Tensor] | None
    why: str


NO_CUDA = Kernels(None, None, "no CUDA device is visible, and mamba-ssm's kernels run on CUDA only")


def kernels(device: str = "cuda") -> Kernels:
    """What can be used for tensors on this type of device."""
    return _cuda_kernels() if device == "cuda" else NO_CUDA


@cache
def _find_kernels() -> Kernels:
    if not torch.cuda.is_available():
        return NO_CUDA
    if find_spec("mamba_ssm") is None:
        return Kernels(None, None, f"mamba-ssm is not installed: {INSTALL}")
    if find_spec(EXTENSION) is None:
        return Kernels(
            None, None, f"mamba-ssm is installed without its CUDA kernel {EXTENSION}; build it in: {INSTALL}"
        )
    try:
        _import(EXTENSION, "fwd")  # mamba-ssm imports without it too, and would fail at the first scan
        scan = _import("mamba_ssm.ops.selective_scan_interface", "selective_scan_fn")
    except Exception as error:  # a build for another torch or CUDA fails in many ways
        return Kernels(None, None, f"mamba-ssm is installed but does not import: {_first_line(error)}")
    try:
        convolve = _import("causal_conv1d", "causal_conv1d_fn")
    except Exception:
        convolve = None
    return Kernels(scan, convolve, "mamba-ssm imports and a CUDA device is visible")


class TritonScan(NamedTuple):
    """The module :mod:`yanlm.nn.scan_kernels`, ``None`` where it cannot be used, and the reason."""

    module: Any
    why: str


@cache
def triton_scan() -> TritonScan:
    """The scan as Triton's kernels, tried on the GPU once: it has to run there, and to give the right numbers."""
    if not torch.cuda.is_available():
        return TritonScan(None, NO_CUDA.why)
    if find_spec("triton") is None:
        return TritonScan(None, "Triton is not installed")
    try:
        module = import_module("yanlm.nn.scan_kernels")
        if not module.is_right("cuda"):
            return TritonScan(None, "Triton's scan gives wrong results on this GPU")
    except Exception as error:  # an old GPU, no compiler for what launches a kernel, another Triton
        return TritonScan(None, f"Triton's scan does not run here: {_first_line(error)}")
    return TritonScan(module, "Triton's scan runs and is right")


_cuda_kernels = torch.compiler.disable(_find_kernels)  # the compiler would trace the imports


def _import(module: str, name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(import_module(module), name)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def kernel_status() -> dict[str, str]:
    """Which scan runs on a GPU: ``in_use`` is ``"mamba-ssm"``, ``"triton"`` or ``"built-in"``, ``why`` gives the
    reasons in a sentence.

    Example:
        >>> sorted(kernel_status())
        ['in_use', 'why']
    """
    usable = kernels()
    if usable.scan is not None:
        return {"in_use": "mamba-ssm", "why": usable.why}
    module, why = triton_scan()
    reasons = dict.fromkeys((usable.why, why))  # each once: without a GPU they are the same
    return {"in_use": "built-in" if module is None else "triton", "why": "; ".join(reasons)}
