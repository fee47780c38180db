"""Couplings: which noise is paired with which data point of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from moefm.checks import check_choice, check_shape
from moefm.finite import check_finite

Pair = tuple[Tensor, Tensor]
Coupling = Callable[[Tensor, Tensor], Pair]
"""Takes noise and data ``(B, ..., D)`` and returns them re-paired; the data keeps its order."""


def independent(z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor]:
    """Leave the pairs as they were drawn: independent, as in the paper.

    Args:
        z0: Noise ``(B, ..., D)``.
        z1: Data ``(B, ..., D)``.

    Example:
        >>> z0, z1 = independent(torch.tensor([[0.0], [5.0]]), torch.tensor([[4.0], [1.0]]))
        >>> z0.flatten(), z1.flatten()
        (tensor([0., 5.]), tensor([4., 1.]))
    """
    return z0, z1


def minibatch_ot(z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor]:
    r"""Pair noise and data of a batch by exact optimal transport under the squared distance.

    .. math:: \min_{\tau} \sum_i |z_{0, \tau(i)} - z_{1, i}|^2 \quad \text{over permutations } \tau

    (Pooladian et al., 2023; Tong et al., 2023.) It is computed in float64 on the CPU, by POT if that is installed and
    by SciPy otherwise, in about B^2.5 operations. An empty batch has no pairs.

    With conditions use :func:`ot_within`. Pairing across conditions ties the noise to them, while the sampler draws
    noise that is independent of them.

    Args:
        z0: Noise ``(B, ..., D)``.
        z1: Data ``(B, ..., D)``; keeps its order.

    Raises:
        ValueError: The shapes differ, or a row is not finite.
        ImportError: Neither POT nor SciPy is installed.

    Example:
        >>> minibatch_ot(torch.tensor([[0.0], [5.0]]), torch.tensor([[4.0], [1.0]]))[0]
        tensor([[5.],
                [0.]])
    """
    _check_clouds(z0, z1)
    if len(z0) == 0:
        return z0, z1
    with torch.no_grad():
        cost = _squared_distances(_standardized(z1), _standardized(z0))
    return z0[optimal_permutation(cost).to(z0.device)], z1


def _check_clouds(z0: Tensor, z1: Tensor) -> None:
    if z0.ndim == 0:
        raise ValueError("z0 must be noise (B, ..., D), got a single number")
    check_shape("z1", z1, tuple(z0.shape), "that of z0")
    check_finite("z0", z0.flatten(1) if z0.ndim > 1 else z0.unsqueeze(1))
    check_finite("z1", z1.flatten(1) if z1.ndim > 1 else z1.unsqueeze(1))


def _standardized(points: Tensor) -> Tensor:
    r"""Points ``(B, D)`` about the origin and within [-1, 1], in float64.

    Over permutations only the products :math:`z_{0, \tau(i)} \cdot z_{1, i}` differ, so each cloud may be shifted and
    scaled by itself: the best pairs stay the best, and neither far nor huge clouds cost digits.
    """
    rows = points.cpu().double().reshape(len(points), -1) / 4  # so that no difference overflows
    rows = rows - (rows / len(rows)).sum(0)
    return rows / rows.abs().max().clamp_min(torch.finfo(rows.dtype).tiny)


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of all pairs: by differences, and for wide rows by the faster matmul, which cancels digits."""
    mode = "donot_use_mm_for_euclid_dist" if x.shape[-1] <= 64 else "use_mm_for_euclid_dist"
    return torch.cdist(x, y, compute_mode=mode).square()


def ot_within(z0: Tensor, z1: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    r"""Pair noise and data by exact optimal transport among the pairs of the same group.

    If ``group`` is the condition of every pair, the noise stays independent of the condition. It may also be the expert
    of every pair, drawn from its responsibilities. Then the distributions of (z0, expert) and (z1, expert) do not
    change, so frozen routing remains exact, while each expert's coupling becomes nearly a map.

    Args:
        z0: Noise ``(B, ..., D)``.
        z1: Data ``(B, ..., D)``; keeps its order.
        group: Integers ``(B,)``.

    Raises:
        ValueError: The shapes differ, or a row is not finite.
        ImportError: Neither POT nor SciPy is installed.

    Example:
        >>> z0, z1 = torch.tensor([[0.0], [5.0], [9.0]]), torch.tensor([[4.0], [1.0], [0.0]])
        >>> ot_within(z0, z1, torch.tensor([0, 0, 1]))[0].flatten()
        tensor([5., 0., 9.])
    """
    _check_clouds(z0, z1)
    check_shape("group", group, tuple(z0.shape[:1]), "(B,)")
    paired = z0.clone()
    for index in (torch.nonzero(group == k).squeeze(1) for k in group.unique()):
        paired[index] = minibatch_ot(z0[index], z1[index])[0]
    return paired, z1


def optimal_permutation(cost: Tensor) -> Tensor:
    """Column assigned to each row of a square cost matrix, by exact optimal transport.

    POT's network simplex is preferred where it is exact: with 2000 points it took about 1 s, SciPy's assignment from
    .1 s to 18 s. Its stopping rule ignores costs below 1e-15 of the largest, so if pairs are that close, SciPy is used.

    Raises:
        ValueError: ``cost`` is not square, or not finite.
        ImportError: Neither POT nor SciPy is installed.

    Example:
        >>> optimal_permutation(torch.tensor([[3.0, 1.0], [0.0, 2.0]]))
        tensor([1, 0])
    """
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f"cost must be a square matrix, got shape {tuple(cost.shape)}")
    matrix = cost.detach().cpu().double()
    if len(matrix) == 0:
        return torch.zeros(0, dtype=torch.long)
    check_finite("cost", matrix)
    matrix = matrix / matrix.abs().max().clamp_min(torch.finfo(matrix.dtype).tiny)
    matrix = matrix - matrix.min().clamp_max(0)
    try:
        import ot
    except ImportError:
        return _assignment(matrix)
    order = torch.as_tensor(ot.emd([], [], matrix.numpy(), numItermax=10_000_000)).argmax(1)
    matched = matrix.gather(1, order.unsqueeze(1)).mean()
    if len(order.unique()) < len(order) or matched < 1e-6 * matrix.max():
        return _assignment(matrix)
    return order


def _assignment(matrix: Tensor) -> Tensor:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise ImportError("optimal transport needs SciPy or POT: pip install scipy") from None
    return torch.as_tensor(linear_sum_assignment(matrix.numpy())[1])


COUPLINGS: dict[str, Coupling] = {"independent": independent, "ot": minibatch_ot}


def get_coupling(coupling: str | Coupling) -> Coupling:
    """Return the coupling of that name, or the coupling itself.

    Example:
        >>> get_coupling("ot") is minibatch_ot
        True
    """
    if callable(coupling):
        return coupling
    return COUPLINGS[check_choice("coupling", coupling, COUPLINGS)]


FEWEST_ALIKE = 8
"""Rows that share a condition, on average, where ``ot`` accepts conditions that are vectors."""


def conditional_coupling(coupling: str | Coupling, cond: Tensor | None) -> Callable[[Tensor, Tensor, Any], Pair]:
    """Return the coupling as a function of noise, data and the condition of every pair.

    The name ``ot`` pairs rows with the same condition: labels, or vectors that repeat, such as one-hot ones. If hardly
    any two rows share a condition it refuses, since pairing across conditions ties the noise to them. A coupling given
    as a function is called with noise and data only.

    Raises:
        ValueError: The name is unknown, or is ``ot`` beside conditions that hardly repeat.

    Example:
        >>> one_hot = torch.eye(2).repeat(20, 1)
        >>> couple = conditional_coupling("ot", one_hot)
        >>> z0, z1 = torch.tensor([[0.0], [5.0], [9.0]]), torch.tensor([[4.0], [1.0], [0.0]])
        >>> couple(z0, z1, torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))[0].flatten()
        tensor([5., 0., 9.])
    """
    couple = get_coupling(coupling)
    if coupling != "ot" or cond is None:
        return lambda z0, z1, _: couple(z0, z1)
    if cond.ndim == 1 and not cond.is_floating_point():
        return ot_within
    distinct = len(cond.flatten(1).unique(dim=0)) if cond.ndim > 1 else len(cond)
    if distinct * FEWEST_ALIKE > max(len(cond), FEWEST_ALIKE):
        raise ValueError(
            f"coupling 'ot' pairs rows of the same condition, so cond must be labels (N,) or vectors that repeat, got "
            f"{cond.dtype} of shape {tuple(cond.shape)}, {distinct} different ones: use 'independent', or a function "
            "that pairs within like conditions"
        )
    return lambda z0, z1, c: ot_within(z0, z1, c.flatten(1).unique(dim=0, return_inverse=True)[1])
