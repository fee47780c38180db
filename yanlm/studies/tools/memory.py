"""Peak memory of a model at work: its weights, and the most that is used beside them."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

STATUS, MARKS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Memory that a model takes inside the block, its weights with it.

    On CUDA it is what torch allocated, on a CPU under Linux what the process occupied; elsewhere it is unknown.
    Other models that the process holds do not count.

    Args:
        model: Whose weights are counted.
        when: False measures nothing.

    Attributes:
        gigabytes: After the block, in 10^9 bytes; ``None`` where it was not measured.

    Example:
        >>> with PeakMemory(torch.nn.Linear(2, 2), when=False) as memory:
        ...     pass
        >>> memory.gigabytes is None
        True
    """

    def __init__(self, model: Any, *, when: bool = True) -> None:
        self.when = when
        self.device: torch.device = next(iter(model.parameters())).device
        self.weights = sum(p.numel() * p.element_size() for p in model.parameters())
        self.gigabytes: float | None = None

    def __enter__(self) -> PeakMemory:
        if self.when:
            gc.collect()
            self.before = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.when and self.before is not None:
            peak = self._peak()
            self.gigabytes = None if peak is None else (self.weights + max(0, peak - self.before)) / 1e9

    def _start(self) -> int | None:
        """Bytes in use now; the highest value is forgotten."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device)
        if self.device.type != "cpu":
            return None
        try:
            ctypes.CDLL(None).malloc_trim(0)  # freed memory goes back to the system, else its use would not be seen
            MARKS.write_text("5")
        except (AttributeError, OSError, TypeError):
            return None
        return _status("VmRSS")

    def _peak(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else _status("VmHWM")


def _status(name: str) -> int | None:
    """A line of the process's status, in bytes."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
