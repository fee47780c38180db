"""Routing scope: which positions share one expert.

A scope is ``None`` (every leading index has its own expert: the paper's token-level routing), an integer or a tuple of
integers (batch dimensions over which one assignment is shared; ``-1`` is the last batch dimension, so on a state
``(B, L, D)`` it means one expert for each sequence), or an integer tensor ``(*batch,)`` of group numbers in
``0 .. L - 1`` along the last batch dimension (one expert for each span, of any length).
"""

from __future__ import annotations

import numbers

import torch
from torch import Tensor

from moefm.checks import check_shape
from moefm.finite import can_look
from moefm.numeric import wide

Scope = None | int | tuple[int, ...] | Tensor


def _dims(scope: int | tuple[int, ...], batch_ndim: int) -> tuple[int, ...]:
    dims = tuple(scope) if isinstance(scope, tuple | list) else (scope,)
    for d in dims:
        if isinstance(d, bool) or not isinstance(d, numbers.Integral) or not -batch_ndim <= d < batch_ndim:
            raise ValueError(f"scope must name batch dimensions in [{-batch_ndim}, {batch_ndim - 1}], got {scope!r}")
    return tuple(sorted({d % batch_ndim for d in dims}))


def _groups(scope: Tensor, batch: torch.Size) -> Tensor:
    if scope.dtype.is_floating_point or scope.dtype == torch.bool:
        raise TypeError(f"scope must hold integer group numbers, got {scope.dtype}")
    check_shape("scope", scope, tuple(batch), "(*batch,)")
    if not batch:
        raise ValueError("scope must be None for a state without batch dimensions, got a group number")
    if scope.numel() and can_look(scope):
        low, high = int(scope.min()), int(scope.max())
        if low < 0 or high >= batch[-1]:
            raise ValueError(f"scope must hold group numbers in 0 .. {batch[-1] - 1}, got from {low} to {high}")
    return scope.long()


def group_sum(values: Tensor, scope: Scope, mask: Tensor | None = None) -> Tensor:
    """Give every position the sum over its group; positions outside ``mask`` add nothing.

    Args:
        values: ``(*batch, K)``.
        scope: See the module.
        mask: Boolean ``(*batch,)``, True = counts.

    Returns:
        ``(*batch, K)``.

    Example:
        >>> v = torch.tensor([[[1.0], [2.0], [4.0]]])  # one sequence of three positions
        >>> group_sum(v, -1).flatten()
        tensor([7., 7., 7.])
        >>> group_sum(v, torch.tensor([[0, 0, 1]])).flatten()
        tensor([3., 3., 4.])
    """
    if mask is not None:
        values = values.masked_fill(~mask.unsqueeze(-1), 0)
    if scope is None:
        return values
    if isinstance(scope, Tensor):
        index = _groups(scope, values.shape[:-1]).unsqueeze(-1).expand_as(values)
        return torch.zeros_like(values).scatter_add(-2, index, values).gather(-2, index)
    dims = _dims(scope, values.ndim - 1)
    return values.sum(dims, keepdim=True).expand_as(values) if dims else values  # sum(()) would be over everything


def group_size(values: Tensor, scope: Scope, mask: Tensor | None = None) -> Tensor:
    """Count the positions of each group that are inside ``mask``: ``(*batch, 1)``, at least 1."""
    return group_sum(torch.ones_like(values[..., :1]), scope, mask).clamp_min(1)


def group_mean(values: Tensor, scope: Scope, mask: Tensor | None = None) -> Tensor:
    """Give every position the mean over its group: how gate logits are pooled.

    Args:
        values: ``(*batch, K)``.
        scope: See the module.
        mask: Boolean ``(*batch,)``, True = counts.

    Returns:
        ``(*batch, K)``.

    Example:
        >>> group_mean(torch.tensor([[[1.0], [2.0], [6.0]]]), -1).flatten()
        tensor([3., 3., 3.])
    """
    if scope is None:
        return values
    exact = wide(values)  # the sum over a long group may be beyond half precision though the mean is not
    return (group_sum(exact, scope, mask) / group_size(exact, scope, mask)).to(values.dtype)


def share_first(values: Tensor, scope: Scope) -> Tensor:
    """Give every position of a group the same entry of ``values`` ``(*batch,)``: how one random draw is shared."""
    if scope is None:
        return values
    if isinstance(scope, Tensor):
        return values.gather(-1, _groups(scope, values.shape))
    for d in _dims(scope, values.ndim):
        values = values.narrow(d, 0, 1).expand_as(values)
    return values
