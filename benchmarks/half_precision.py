"""What bfloat16 costs on this CPU: linear layers, and the products of a step of Muon.

    OMP_NUM_THREADS=1 python benchmarks/half_precision.py    # half a minute on one core

Both precisions run in turn in one process, and the median of the repeats counts. CPU time of the process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from yanlm.nn.half_precision import has_fast_bfloat16
from yanlm.training.muon import orthogonal

DTYPES = (torch.float32, torch.bfloat16)
LINEAR = [(512, 512, 2048), (2000, 192, 192), (64, 192, 8192)]
"""Rows, width in, width out."""
WIDTHS = (64, 128, 192)
BLOCKS = 4


def linear(rows: int, wide: int, out: int, dtype: torch.dtype) -> Callable[[], object]:
    """A product that is to be timed."""
    x, weight = torch.randn(rows, wide, dtype=dtype), torch.randn(out, wide, dtype=dtype)
    return lambda: torch.nn.functional.linear(x, weight)


def muon_step(width: int, dtype: torch.dtype) -> Callable[[], object]:
    """The products of a step for the matrices of four Transformer blocks."""
    shapes = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    gradients = [torch.randn(BLOCKS, *shape) for shape in shapes]
    return lambda: [orthogonal(matrices, dtype) for matrices in gradients]


def show(name: str, runs: list[Callable[[], object]], repeats: int = 5) -> None:
    """Milliseconds of both precisions and their ratio."""
    times: list[list[float]] = [[], []]
    for _ in range(repeats + 1):
        for run, own in zip(runs, times, strict=True):
            start = time.process_time()
            run()
            own.append(1e3 * (time.process_time() - start))
    single, half = (statistics.median(own[1:]) for own in times)
    print(f"{name:<36} {single:9.2f} ms {half:9.2f} ms {half / single:6.1f}")


def main() -> None:
    """Print a table."""
    print(f"instructions for bfloat16: {'yes' if has_fast_bfloat16() else 'none known'}")
    print(f"{'':<36} {'float32':>12} {'bfloat16':>12} {'ratio':>6}")
    for sizes in LINEAR:
        show(f"linear {' x '.join(map(str, sizes))}", [linear(*sizes, dtype) for dtype in DTYPES])
    for width in WIDTHS:
        show(f"Muon, {BLOCKS} blocks of width {width}", [muon_step(width, dtype) for dtype in DTYPES], 3)


if __name__ == "__main__":
    main()
