"""Which kernels are used for the scan, and what is said where they are not."""

from types import SimpleNamespace

import pytest
import torch

from yanlm.nn import mamba_kernels as module
from yanlm.nn.mamba_kernels import kernel_status


@pytest.fixture
def machine(monkeypatch):
    """A machine with the CUDA device, the packages and the import errors that a test asks for."""

    def build(cuda=True, missing=("triton",), errors=None, right=True):
        def load(name):
            if error := (errors or {}).get(name):
                raise error
            module = SimpleNamespace(selective_scan_fn="scan", causal_conv1d_fn="convolve", fwd="forward")
            module.is_right = lambda device: right
            return module

        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(module, "find_spec", lambda name: None if name in missing else object())
        monkeypatch.setattr(module, "import_module", load)
        forget()

    def forget():
        module._find_kernels.cache_clear()
        module.triton_scan.cache_clear()

    yield build
    forget()


def test_status_without_cuda(machine):
    machine(cuda=False)
    status = kernel_status()
    assert status["in_use"] == "built-in" and "no CUDA device" in status["why"]


def test_status_when_not_installed(machine):
    machine(missing=("mamba_ssm", "selective_scan_cuda", "triton"))
    status = kernel_status()
    assert status["in_use"] == "built-in" and "pip install mamba-ssm" in status["why"]


def test_status_when_the_kernel_was_left_out(machine):
    """mamba_ssm imports without it."""
    machine(missing=("selective_scan_cuda", "triton"))
    status = kernel_status()
    assert status["in_use"] == "built-in"
    assert "selective_scan_cuda" in status["why"] and "MAMBA_KEEP_CUDA_BUILD=TRUE pip install" in status["why"]


@pytest.mark.parametrize("place", ["selective_scan_cuda", "mamba_ssm.ops.selective_scan_interface"])
@pytest.mark.parametrize(
    "error",
    [ImportError("no module"), OSError("libcudart.so.12"), RuntimeError("no\nCUDA"), AttributeError("x")],
    ids=repr,
)
def test_a_broken_installation_is_quiet(machine, error, place):
    machine(errors={place: error})
    status = kernel_status()
    assert status["in_use"] == "built-in"
    assert type(error).__name__ in status["why"] and "\n" not in status["why"]


def test_kernels_in_use(machine):
    machine()
    assert kernel_status()["in_use"] == "mamba-ssm"
    assert module.kernels("cuda")[:2] == ("scan", "convolve")
    assert module.kernels("cpu")[:2] == (None, None)


def test_convolution_is_optional(machine):
    machine(errors={"causal_conv1d": OSError("undefined symbol")})
    assert kernel_status()["in_use"] == "mamba-ssm" and module.kernels().convolve is None


NO_MAMBA = ("mamba_ssm", "selective_scan_cuda")


def test_tritons_scan_takes_the_place_of_mamba_ssms(machine):
    machine(missing=NO_MAMBA)
    status = kernel_status()
    assert status["in_use"] == "triton" and module.triton_scan().module is not None
    assert status["why"].startswith("mamba-ssm is not installed") and status["why"].endswith("runs and is right")


@pytest.mark.parametrize(
    "options, why",
    [
        ({"cuda": False}, "no CUDA device"),
        ({"missing": (*NO_MAMBA, "triton")}, "Triton is not installed"),
        ({"right": False}, "Triton's scan gives wrong results on this GPU"),
        ({"errors": {"yanlm.nn.scan_kernels": RuntimeError("no C compiler\nfound")}}, "RuntimeError: no C compiler"),
    ],
    ids=["no device", "not installed", "wrong", "broken"],
)
def test_the_loop_where_tritons_scan_cannot_be_used(machine, options, why):
    machine(**{"missing": NO_MAMBA} | options)
    status = kernel_status()
    assert status["in_use"] == "built-in" and module.triton_scan().module is None
    assert why in status["why"] and "\n" not in status["why"]
    assert status["why"].count("no CUDA device") <= 1
