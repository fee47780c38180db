"""Tensors at the slots: what is read there, what is shown there, and which slots share an expert."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gather_tokens(states: Tensor, at: Tensor) -> Tensor:
    """States ``(B, M, d)`` of positions ``at`` ``(B, M)`` in ``(B, L, d)``."""
    return states.gather(1, at.unsqueeze(-1).expand(-1, -1, states.shape[-1]))


def held_slots(slots: Tensor, slot_mask: Tensor | None, times: int = 1) -> Tensor:
    """Which of ``slots`` ``(B, M)`` are no padding, every row ``times`` times in a row ``(B * times, M)``."""
    held = torch.ones_like(slots, dtype=torch.bool) if slot_mask is None else slot_mask
    return held.repeat_interleave(times, 0)


def slot_groups(slots: Tensor, scope: str, ids: Tensor | None = None, ends: Sequence[int] = ()) -> Tensor | None:
    """Group number of every slot ``(B, M)``: one expert answers for a group; ``None`` if every slot has its own.

    Args:
        slots: Ascending positions ``(B, M)``.
        scope: ``token``, ``span`` (adjacent slots), ``sentence`` (slots between two ends) or ``sequence``.
        ids: The source's tokens ``(B, S)``, for ``sentence``.
        ends: Tokens that end a sentence.

    Example:
        >>> slot_groups(torch.tensor([[1, 2, 5]]), "span")
        tensor([[0, 0, 1]])
        >>> slot_groups(torch.tensor([[0, 2, 4]]), "sentence", torch.tensor([[9, 5, 9, 7, 9]]), ends=[7])
        tensor([[0, 0, 1]])
    """
    if scope == "token":
        return None
    if scope == "sequence":
        return torch.zeros_like(slots)
    if scope == "sentence" and ids is not None:
        is_end = torch.zeros_like(ids, dtype=torch.bool)
        for end in ends:  # a tensor of them would be a copy to the device
            is_end |= ids == end
        before = is_end.cumsum(1)
        breaks = before.gather(1, slots).diff(dim=1) != 0
    else:
        breaks = slots.diff(dim=1) != 1
    return torch.nn.functional.pad(breaks.cumsum(1), (1, 0))


def shown(source: Tensor, slots: Tensor, tokens: Tensor, where: Tensor) -> Tensor:
    """The source ``(B, S)`` with ``tokens`` ``(B, M)`` written into the slots that ``where`` ``(B, M)`` names."""
    source = source.clone()
    rows = torch.arange(len(source), device=source.device).unsqueeze(1).expand_as(slots)
    source[rows[where], slots[where]] = tokens[where]
    return source
