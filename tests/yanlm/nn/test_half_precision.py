"""What a CPU says of bfloat16, what is computed in it, and the warning where it is slow."""

from __future__ import annotations

import warnings

import pytest
import torch

from yanlm.nn import half_precision
from yanlm.nn.half_precision import fast_dtype, has_fast_bfloat16, warn_of_slow_bfloat16

NONE = {"avx512_bf16": False, "amx_bf16": False}
KNOWN = {"avx512_bf16": {**NONE, "avx512_bf16": True}, "amx_bf16": {**NONE, "amx_bf16": True}, "none": NONE, "arm": {}}


@pytest.fixture(params=KNOWN)
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A CPU that says this of itself."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: KNOWN[request.param], raising=False)
    half_precision._capabilities.cache_clear()
    request.addfinalizer(half_precision._capabilities.cache_clear)
    name: str = request.param
    return name


def test_the_dtype_is_what_the_device_multiplies_fast(cpu: str) -> None:
    fast = cpu in ("avx512_bf16", "amx_bf16")
    assert has_fast_bfloat16() is fast
    assert fast_dtype(torch.device("cpu")) is (torch.bfloat16 if fast else torch.float32)
    assert fast_dtype(torch.device("cuda")) is torch.bfloat16


def test_a_cpu_without_the_instructions_warns(cpu: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_slow_bfloat16("cuda", "leave it")
        assert not caught
        warn_of_slow_bfloat16("cpu", "leave it")
    told = [str(warning.message) for warning in caught]
    assert [text.split(": ")[1] for text in told] == (["leave it"] if cpu == "none" else [])


def test_older_torch_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert half_precision._capabilities.__wrapped__() == {}
