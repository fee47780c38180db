"""Runs that are repeated with the same shapes: recorded the second time, replayed from then on.

This file does not depend on a device. On a GPU a recording is a CUDA graph (``yanlm.generation.cuda_graphs``).
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol

import torch
from torch.nn import functional as F

from moefm.checks import check_count
from yanlm.generation.core import Filled, Given

Run = Callable[[Given], Filled]
REMEMBERED = 1024
"""Shapes that were seen once and are remembered."""


class Recording(Protocol):
    """A run of fixed shapes, recorded.

    Attributes:
        bytes: Memory that it holds.
    """

    bytes: int

    def __call__(self, given: Given) -> Filled:
        """The result for other values in tensors of the same shapes; nothing of it is written over later."""
        ...


class Replays:
    """Recordings by the shapes of their inputs. If there are too many, the least recently used ones are dropped.

    Args:
        record: Makes a recording of a run from example inputs.
        most: Largest number of recordings.
        memory: Largest number of bytes that they hold together.

    Raises:
        ValueError: A bound is below 1.
    """

    def __init__(self, record: Callable[[Run, Given], Recording], most: int = 32, memory: int = 2**33) -> None:
        self.record, self._lock = record, threading.RLock()
        self._kept: OrderedDict[Hashable, Recording] = OrderedDict()
        self._seen: OrderedDict[Hashable, bool] = OrderedDict()  # whether a recording failed or was too large
        self._weights: Hashable = None
        self.limit(most, memory)

    def limit(self, most: int, memory: int) -> None:
        """Set the limits, and drop what exceeds them."""
        self.most, self.memory = check_count("most", most), check_count("memory", memory)
        self._shrink()

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self._kept)

    def __call__(self, run: Run, given: Given, what: Hashable, weights: Hashable = None) -> Filled:
        """The result of a run: that of the run itself the first time, then that of its recording.

        Args:
            run: The function.
            given: What it reads.
            what: All that the run depends on beside ``given``.
            weights: Where the model's weights lie. Once that changes, no recording is of use any more.
        """
        with self._lock:
            if weights != self._weights:
                self._kept.clear()
                self._seen.clear()
                self._weights = weights
            key = (what, shapes(given))
            if key not in self._kept and not self._made(key, run, given):
                return run(given)
            self._kept.move_to_end(key)
            return self._kept[key](given)

    def _made(self, key: Hashable, run: Run, given: Given) -> bool:
        """Record what was seen before, unless that failed; whether there is a recording now."""
        is_new = key not in self._seen
        refused = self._seen.setdefault(key, False)
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if is_new or refused:
            return False
        try:
            recording = self.record(run, given)
        except RuntimeError as error:
            warnings.warn(f"this generation cannot be recorded and runs as it is: {error}", stacklevel=2)
            self._seen[key] = True
            return False
        if recording.bytes > self.memory:
            self._seen[key] = True
            return False
        self._kept[key] = recording
        self._shrink()
        return True

    def _shrink(self) -> None:
        while len(self._kept) > self.most or sum(kept.bytes for kept in self._kept.values()) > self.memory:
            self._kept.popitem(last=False)


def rounded(given: Given, longest: int) -> Given:
    """The same with sources and slots padded to one of a few lengths, so that texts of similar length share a
    recording.

    Args:
        given: What a run reads.
        longest: Tokens that the model takes.

    Example:
        >>> ids = torch.zeros(1, 70, dtype=torch.long)
        >>> more = rounded(Given(ids, None, ids[:, :5], None, torch.zeros(1, 5, 3)), 256)
        >>> more.source_ids.shape, more.slots.shape, int(more.source_mask.sum()), int(more.slot_mask.sum())
        (torch.Size([1, 80]), torch.Size([1, 8]), 70, 5)
    """
    more = _round(given.source_ids.shape[1], longest) - given.source_ids.shape[1]
    if more:
        mask = given.source_mask
        mask = torch.ones_like(given.source_ids, dtype=torch.bool) if mask is None else mask
        given = given._replace(source_ids=F.pad(given.source_ids, (0, more)), source_mask=F.pad(mask, (0, more)))
    more = _round(given.slots.shape[1], longest) - given.slots.shape[1]
    if not more or given.choices is not None:  # an answer has a word for every slot
        return given
    mask = torch.ones_like(given.slots, dtype=torch.bool) if given.slot_mask is None else given.slot_mask
    last = {
        name: F.pad(x, (0, more)) for name in ("slots", "uniforms", "words") if (x := getattr(given, name)) is not None
    }
    next_to = ("noise", "points", "judge")
    last |= {name: F.pad(x, (0, 0, 0, more)) for name in next_to if (x := getattr(given, name)) is not None}
    return given._replace(slot_mask=F.pad(mask, (0, more)), **last)


def _round(length: int, longest: int) -> int:
    """The next multiple of 8; above 64 four lengths an octave."""
    step = 8
    while 8 * step < length:
        step *= 2
    return max(min(-(-length // step) * step, longest), length)


def shapes(given: Given) -> Hashable:
    """What distinguishes recordings: shapes, dtypes, and missing inputs.

    Example:
        >>> ids = torch.zeros(1, 4, dtype=torch.long)
        >>> shapes(Given(ids, None, ids, None, torch.zeros(1, 4, 8)))[:2]
        (((1, 4), torch.int64), None)
    """
    return tuple(None if x is None else (tuple(x.shape), x.dtype) for x in given)
