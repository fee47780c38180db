"""Rates of matrix products and copies that a machine reaches, and the operations that a call needs."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from yanlm.studies.tools.timing import seconds_of

aten = torch.ops.aten


def count_flops(run: Callable[[], Any]) -> int:
    """Multiplications and additions of a call in matrix products, convolutions and attention.

    Scans and elementwise operations do not count.

    Example:
        >>> a = torch.ones(2, 3)
        >>> count_flops(lambda: a @ a.T)
        24
    """
    counter = FlopCounterMode(display=False, custom_mapping=_OTHERS)
    with counter:
        run()
    return int(counter.get_total_flops())


def _attention(query: Any, key: Any, *_: Any, **__: Any) -> int:
    """Products with keys and values, of shapes ``(B, heads, L, head_dim)``."""
    return int(4 * prod(query) * key[-2])


def _attention_backward(grad: Any, query: Any, key: Any, *_: Any, **__: Any) -> int:
    return int(10 * prod(query) * key[-2])  # the weights anew, and four products


def _grouped(rows: Any, weights: Any, *_: Any, **__: Any) -> int:
    """Rows ``(N, in)`` by groups, or ``(in, N)`` and ``(N, out)`` into one product a group, for gradients."""
    return int(2 * prod(rows) * weights[-1])


_OTHERS: dict[Any, Any] = {
    operator: count
    for name, count in {
        "_scaled_dot_product_flash_attention_for_cpu": _attention,
        "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
        "_grouped_mm": _grouped,
    }.items()
    if (operator := getattr(aten, name, None)) is not None
}
"""Operators that torch's counter does not know, with functions that count from the shapes of their arguments."""


def measured_rates(device: str, dtype: torch.dtype, clock: str = "wall", repeats: int = 5) -> dict[str, float]:
    """Rates of large matrix products and large copies on a device, the best of ``repeats``.

    Returns:
        ``matrix_tflops``, 10^12 multiplications and additions a second; ``copy_gb_per_s``, 10^9 bytes read or written a
        second.

    Example:
        >>> sorted(measured_rates("cpu", torch.float32, "cpu", 1))
        ['copy_gb_per_s', 'matrix_tflops']
    """
    side, size = (1024, 2**26) if device == "cpu" else (8192, 2**30)
    a, b = (torch.full((side, side), 0.5, device=device, dtype=dtype) for _ in range(2))
    source = torch.zeros(size, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    runs = {"product": lambda: a @ b, "copy": lambda: target.copy_(source)}
    seconds = {name: min(own) for name, own in seconds_of(runs, torch.device(device), clock, repeats).items()}
    return {"matrix_tflops": 2 * side**3 / seconds["product"] / 1e12, "copy_gb_per_s": 2 * size / seconds["copy"] / 1e9}
