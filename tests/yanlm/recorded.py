"""A stand-in for CUDA graphs: what is read is copied into tensors that stay, and results are written over."""

from __future__ import annotations

from typing import Any

import torch

from yanlm.generation.core import Filled, Given


class Recorded:
    """A run that writes its results over the last ones, as a graph does."""

    def __init__(self, run: Any, given: Given, size: int = 1) -> None:
        self.bytes, self._run = size, run
        self._given = Given(*(None if x is None else x.clone() for x in given))
        self._filled: Any = run(self._given)

    def __call__(self, given: Given) -> Filled:
        for own, new in zip(self._given, given, strict=True):
            assert (own is None) == (new is None)
            if own is not None and new is not None:
                own.copy_(new)
        for own, new in zip(self._filled, self._run(self._given), strict=True):
            if isinstance(own, torch.Tensor):
                own.copy_(new)
        return Filled(*(x.clone() if isinstance(x, torch.Tensor) else x for x in self._filled))
