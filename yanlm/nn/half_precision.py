"""Whether a device multiplies bfloat16 faster than float32."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch


def has_fast_bfloat16() -> bool:
    """Whether this CPU has instructions for multiplying bfloat16."""
    known = _capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _lacks_bfloat16() -> bool:
    """Whether this CPU is known to have none; ARM's are not listed."""
    known = _capabilities()
    return known.get("avx512_bf16") is False and known.get("amx_bf16") is False


def fast_dtype(device: torch.device) -> torch.dtype:
    """The dtype in which a device multiplies fastest, where three digits are enough."""
    return torch.bfloat16 if device.type != "cpu" or has_fast_bfloat16() else torch.float32


def warn_of_slow_bfloat16(device: torch.device | str, remedy: str) -> None:
    """Warn if products in bfloat16 take several times as long as in float32.

    Args:
        device: Where they are computed.
        remedy: What to choose instead.
    """
    if torch.device(device).type == "cpu" and _lacks_bfloat16():
        warnings.warn(
            f"this CPU has no instructions for bfloat16, which is several times slower on it than float32: {remedy}",
            stacklevel=3,
        )


@cache
def _capabilities() -> dict[str, Any]:
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not tell
    return known
