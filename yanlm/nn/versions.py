"""Several versions of a text's slots in one sequence: all read the source, none reads another version."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from yanlm.nn.slots import gather_tokens


class Versions:
    """K versions of M slots behind S source tokens: a sequence of S + K M states for the blocks of an encoder.

    The source reads itself, as if there were no versions. A version reads the tokens of the source that are given, and
    its own slots. So the source is computed once for all, and K versions cost K M tokens in place of K texts.

    Args:
        source_mask: ``(B, S)``, True = a token; ``None`` for tokens everywhere.
        slots: Positions of the slots in the source ``(B, M)``.
        slot_mask: ``(B, M)``, True = a slot; ``None`` for slots everywhere.
        count: K.
        size: S.

    Attributes:
        positions: Position of every state, ``(B, S + K M)``; a version of a slot has the position of the slot.
        seen: Which states (last axis) a state reads, ``(B, S + K M, S + K M)``.

    Example:
        >>> versions = Versions(None, torch.tensor([[1]]), None, count=2, size=3)  # a b c and two versions of b
        >>> versions.positions
        tensor([[0, 1, 2, 1, 1]])
        >>> versions.seen[0, 3:].int()
        tensor([[1, 0, 1, 1, 0],
                [1, 0, 1, 0, 1]], dtype=torch.int32)
    """

    def __init__(
        self, source_mask: Tensor | None, slots: Tensor, slot_mask: Tensor | None, count: int, size: int
    ) -> None:
        at = torch.arange(size, device=slots.device).expand(len(slots), -1)
        source_mask = torch.ones_like(at, dtype=torch.bool) if source_mask is None else source_mask
        slot_mask = torch.ones_like(slots, dtype=torch.bool) if slot_mask is None else slot_mask
        self.source_mask, self.slots, self.slot_mask, self.count = source_mask, slots, slot_mask, count
        self.positions = torch.cat([at, slots.repeat(1, count)], 1)
        chosen = torch.zeros_like(at).scatter_add(1, slots, slot_mask.long()).bool()
        version = torch.arange(count, device=slots.device).repeat_interleave(slots.shape[1])
        own = (version[:, None] == version) & slot_mask.repeat(1, count).unsqueeze(1)
        given = (source_mask & ~chosen).unsqueeze(1).expand(-1, len(version), -1)
        by_source = torch.nn.functional.pad(source_mask, (0, len(version))).unsqueeze(1).expand(-1, size, -1)
        self.seen = torch.cat([by_source, torch.cat([given, own.expand(len(slots), -1, -1)], -1)], 1)

    def joined(self, source: Tensor, versions: Tensor) -> Tensor:
        """One sequence ``(B, S + K M, d)`` of states ``(B, S, d)`` and ``(B, K, M, d)``."""
        return torch.cat([source, versions.flatten(1, 2)], 1)

    def parted(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of :meth:`joined`."""
        source, versions = states.split([self.source_mask.shape[1], self.count * self.slots.shape[1]], 1)
        return source, versions.unflatten(1, (self.count, -1))

    def convolved(self, conv: Callable[[Tensor, Tensor], Tensor], states: Tensor) -> Tensor:
        """What a convolution makes of ``(B, S + K M, d)``: a version's slots stand in their places in the text."""
        source, versions = self.parted(states)
        at = self.slots.repeat_interleave(self.count, 0)
        change = (versions - gather_tokens(source, self.slots).unsqueeze(1)) * self.slot_mask[:, None, :, None]
        texts = source.repeat_interleave(self.count, 0)
        texts = texts.scatter_add(1, at.unsqueeze(-1).expand(-1, -1, texts.shape[-1]), change.flatten(0, 1))
        read = gather_tokens(conv(texts, self.source_mask.repeat_interleave(self.count, 0)), at)
        return self.joined(conv(source, self.source_mask), read.unflatten(0, (-1, self.count)))
