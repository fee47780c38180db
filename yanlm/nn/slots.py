"""Tensors at the slots: what is read there, what is shown there, and which slots share an expert."""

from __future__ import annotations

import torch
from torch import Tensor


def gather_tokens(states: Tensor, at: Tensor) -> Tensor:
    """States ``(B, M, d)`` of positions ``at`` ``(B, M)`` in ``(B, L, d)``."""
    return states.gather(1, at.unsqueeze(-1).expand(-1, -1, states.shape[-1]))


def slot_groups(slots: Tensor, scope: str) -> Tensor | None:
    """Group number of every slot ``(B, M)``: one expert answers for a group; ``None`` where every slot has its own.

    Example:
        >>> slot_groups(torch.tensor([[1, 2, 5]]), "span")
        tensor([[0, 0, 1]])
    """
    if scope == "token":
        return None
    if scope == "sequence":
        return torch.zeros_like(slots)
    breaks = slots.diff(dim=1) != 1
    return torch.nn.functional.pad(breaks.cumsum(1), (1, 0))


def shown(source: Tensor, slots: Tensor, tokens: Tensor, where: Tensor) -> Tensor:
    """The source ``(B, S)`` with ``tokens`` ``(B, M)`` written into the slots that ``where`` ``(B, M)`` names."""
    source = source.clone()
    rows = torch.arange(len(source), device=source.device).unsqueeze(1).expand_as(slots)
    source[rows[where], slots[where]] = tokens[where]
    return source
