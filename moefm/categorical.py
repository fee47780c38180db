r"""Mixture likelihood of discrete targets: one expert writes all positions of a group, at any time of a flow.

The loss of Eq. (4) and (5) with a categorical component in place of the Gaussian one:

.. math:: -\log \sum_k \pi_k(z_t, t) \prod_{l \in g} p_k(y_l \mid z_t, t)

Not in the paper. If a network predicts tokens, this is the likelihood of what is asked for: an expert that writes one
of several right answers completely is not pulled towards the others.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from moefm.checks import check_mask, check_shape
from moefm.gating import log_shares
from moefm.numeric import clean, masked_mean, wide
from moefm.scope import Scope, group_size, group_sum


class CategoricalLoss(NamedTuple):
    """A categorical loss and its parts.

    Attributes:
        total: Scalar to call ``backward`` on, in nats per position.
        nll: Detached negative log-likelihood per position, ``(*batch,)``: that of the position's group divided by its
            size, and 0 outside the mask.
        responsibilities: Detached posterior over experts ``(*batch, K)``, equal within each group.

    Example:
        >>> import torch
        >>> loss = categorical_mixture_loss(torch.tensor([[2.0, 2.0], [4.0, 4.0]]), torch.zeros(2, 2))
        >>> isinstance(loss, CategoricalLoss), loss.total, loss.nll
        (True, tensor(3.), tensor([2., 4.]))
    """

    total: Tensor
    nll: Tensor
    responsibilities: Tensor


def expected(shares: Tensor, values: Tensor) -> Tensor:
    """Mean of ``values`` ``(*batch, K)`` under ``shares``; an expert of share 0 does not count, whatever its value.

    Example:
        >>> import torch
        >>> expected(torch.tensor([1.0, 0.0]), torch.tensor([2.0, -torch.inf]))
        tensor(2.)
    """
    return (shares * values.masked_fill(shares == 0, 0)).sum(-1)


def _check(losses: Tensor, logits: Tensor, mask: Tensor | None) -> None:
    if losses.ndim < 1:
        raise ValueError("losses must have shape (*batch, K), got ()")
    check_shape("logits", logits, tuple(losses.shape), "that of losses")
    check_mask(mask, tuple(losses.shape[:-1]))


def categorical_mixture_loss(
    losses: Tensor,
    logits: Tensor,
    *,
    mask: Tensor | None = None,
    scope: Scope = None,
    responsibilities: Tensor | None = None,
) -> CategoricalLoss:
    r"""Negative log-likelihood of tokens under a mixture of experts, a mean over positions.

    With the cross-entropies :math:`\ell_{kl} = -\log p_k(y_l)` and a group g of positions that share an expert

    .. math:: L = -\frac{1}{N} \sum_g \log \sum_k \pi_k \exp\Big(-\sum_{l \in g} \ell_{kl}\Big), \qquad
              r_k \propto \pi_k \exp\Big(-\sum_{l \in g} \ell_{kl}\Big).

    The gate's logits are averaged over the group, as elsewhere in this library.

    Args:
        losses: Cross-entropy of the true token under every expert, ``(*batch, K)``, as
            ``torch.nn.functional.cross_entropy(..., reduction="none")`` gives it.
        logits: Gate logits ``(*batch, K)``.
        mask: Boolean ``(*batch,)``, True = counts.
        scope: Which positions share one expert (:mod:`moefm.scope`).
        responsibilities: A posterior ``(*batch, K)`` from elsewhere, constant here: for consistent shares the one at
            t = 0. The loss is then :math:`-\sum_k r_k (\log \pi_k - \sum_l \ell_{kl})`, as in
            :func:`moefm.consistent_moefm_loss`.

    Raises:
        ValueError: Shapes do not fit.

    Example:
        >>> import torch
        >>> losses = torch.tensor([[[0.1, 9.0], [0.1, 9.0]]])  # one sequence of two positions, two experts
        >>> out = categorical_mixture_loss(losses, torch.zeros(1, 2, 2), scope=-1)
        >>> out.total  # (0.2 + log 2) / 2
        tensor(0.4466)
        >>> out.responsibilities[0, 0].round(decimals=4)
        tensor([1., 0.])
    """
    _check(losses, logits, mask)
    log_pi = log_shares(logits, scope, mask)
    joint = log_pi - group_sum(wide(clean(losses, mask)), scope, mask)
    size = group_size(joint, scope, mask).squeeze(-1)
    if responsibilities is None:
        nll = clean(-joint.logsumexp(-1) / size, mask)
        return CategoricalLoss(masked_mean(nll, mask), nll.detach(), joint.detach().softmax(-1))
    check_shape("responsibilities", responsibilities, tuple(losses.shape), "that of losses")
    shares = responsibilities.detach()
    nll = clean(-expected(shares, joint) / size, mask)
    return CategoricalLoss(masked_mean(nll, mask), nll.detach(), shares)


def drawn_categorical_loss(
    loss: Tensor,
    logits: Tensor,
    responsibilities: Tensor,
    *,
    mask: Tensor | None = None,
    scope: Scope = None,
) -> Tensor:
    r"""A scalar with the gradient of :func:`categorical_mixture_loss` in expectation, from one expert per group.

    By Fisher's identity the gradient of a mixture's log-likelihood is that of its parts under the posterior r,

    .. math:: \nabla \log \sum_k \pi_k p_k = \sum_k r_k \nabla \log \pi_k + E_{k \sim r} \nabla \log p_k,

    so only the expert drawn from r has to be differentiated. This is the stochastic EM of Celeux and Diebolt (1985),
    one gradient step at a time. The sum over the gate is computed in full. If experts enter early in a network, the
    others are evaluated without gradients, which saves most of the memory and two thirds of the time.

    Args:
        loss: Cross-entropy of the true token under the expert drawn for each position, ``(*batch,)``.
        logits: Gate logits ``(*batch, K)``.
        responsibilities: r, ``(*batch, K)``, equal within each group; no gradient flows through it.
        mask: Boolean ``(*batch,)``, True = counts.
        scope: Which positions share one expert.

    Raises:
        ValueError: Shapes do not fit.

    Example:
        >>> import torch
        >>> r = torch.tensor([[0.75, 0.25]])
        >>> drawn_categorical_loss(torch.tensor([0.5]), torch.zeros(1, 2), r)  # 0.5 + log 2
        tensor(1.1931)
    """
    _check(responsibilities, logits, mask)
    check_shape("loss", loss, tuple(responsibilities.shape[:-1]), "(*batch,)")
    log_pi = log_shares(logits, scope, mask)
    size = group_size(log_pi, scope, mask).squeeze(-1)
    gate = -expected(responsibilities.detach(), log_pi) / size
    return masked_mean(gate + wide(loss), mask)
