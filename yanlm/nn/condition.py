"""The source as the flow sees it: read once, for several samples, or by every expert in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from moefm.finite import can_look
from yanlm.nn.blocks import KeysValues, Rotary
from yanlm.nn.norms import Modulations


class Condition(NamedTuple):
    """The source as the flow sees it, computed once per generation by :meth:`LatentFlow.condition`.

    ``sources`` holds keys and values of each cross-attending block, ``start`` what is added to the flow's input at
    every slot, ``guess`` the encoder's own state there, ``pooled`` the mean encoding ``(B, 1, d)`` that the gate reads,
    ``scope`` which slots share one expert (:mod:`moefm.scope`), ``readings`` the source as each expert reads it (if
    experts read it), ``modulations`` how times modulate all norms (if no gradients are recorded).
    """

    sources: tuple[KeysValues, ...]
    source_mask: Tensor | None
    start: Tensor | None
    guess: Tensor | None
    pooled: Tensor
    at: Rotary | None
    mask: Tensor | None
    scope: Tensor | None = None
    readings: Readings | None = None
    modulations: Modulations | None = None

    def take(self, rows: Tensor) -> Condition:
        """The rows with these numbers, in this order."""

        def maybe(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[rows]

        return self._replace(
            sources=tuple(KeysValues(kv.keys[rows], kv.values[rows]) for kv in self.sources),
            source_mask=maybe(self.source_mask),
            start=maybe(self.start),
            guess=maybe(self.guess),
            pooled=self.pooled[rows],
            at=None if self.at is None else Rotary(self.at.cos[rows], self.at.sin[rows]),
            mask=maybe(self.mask),
            scope=maybe(self.scope),
        )

    def repeated(self, times: int) -> Condition:
        """Every row repeated ``times`` times, for several samples or experts of one encoded source."""
        if times == 1:
            return self
        rows = torch.arange(len(self.pooled), device=self.pooled.device)
        return self.take(rows.repeat_interleave(times))


class Readings:
    """The source as every expert reads it, with its own mark on the masks. It is only read when needed.

    Args:
        read: Conditions of experts ``(R, n)`` for R rows, ``R * n`` of them.
        experts: K.
        device: Device of the source.
    """

    def __init__(
        self, read: Callable[[Tensor], Condition], experts: int, device: torch.device | str | None = None
    ) -> None:
        self._read, self._experts, self._device = read, experts, device
        self._every: Condition | None = None
        self._last: tuple[Tensor, Condition] | None = None

    def every(self, rows: int) -> Condition:
        """Conditions of all experts; the K of a row follow one another."""
        if self._every is None:
            self._every = self._read(torch.arange(self._experts, device=self._device).expand(rows, -1))
        return self._every

    def chosen(self, index: Tensor) -> Condition:
        """Conditions of the experts ``(R, M)``, one per row. The last ones are kept for the next step."""
        if self._every is not None:
            rows = torch.arange(len(index), device=index.device)
            return self._every.take(self._experts * rows + index[:, 0])
        if self._last is None or not _same(self._last[0], index):
            self._last = index, self._read(index[:, :1])
        return self._last[1]


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether these are the same experts, as far as can be told without waiting for a device."""
    return a is b or (can_look(b) and torch.equal(a, b))


def pool(states: Tensor, mask: Tensor | None) -> Tensor:
    """Mean state of every row over its tokens, ``(B, 1, d)``; zeros where there is none."""
    if mask is None:
        return states.mean(1, keepdim=True)
    counted = states.masked_fill(~mask.unsqueeze(-1), 0)
    return counted.sum(1, keepdim=True) / mask.sum(1).clamp_min(1)[:, None, None]
