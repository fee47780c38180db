"""Likelihood of a text under the mixture of what all experts would write in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from moefm._numeric import masked_mean
from moefm.scope import group_mean, group_size, group_sum

if TYPE_CHECKING:
    from yanlm.autoencoder import Decoder
    from yanlm.condition import Condition


def text_likelihood(
    decoder: Decoder, ends: Tensor, logits: Tensor, labels: Tensor, cond: Condition
) -> tuple[Tensor, Tensor]:
    r"""Negative log-likelihood of the slots' tokens under the mixture of one-step texts, and each expert's posterior.

    .. math:: -\log \sum_k \pi_k \prod_{l \in g} p_\theta(y_l \mid z_{1,k,l}),
              \quad z_{1,k} = z_0 + u_k(z_0, 0)

    for every group g of slots that share an expert (``cond.scope``), as a mean over slots. An expert that writes one
    of several right texts whole is not pushed towards the others, as it would be by the cross-entropy of an expert
    drawn from the gate. Ours, beyond the paper.

    Args:
        decoder: Reads tokens off latents.
        ends: One-step z1 of every expert, ``(B, M, K, d)``.
        logits: Gate logits at t = 0, ``(B, M, K)``.
        labels: Tokens ``(B, M)``.
        cond: Its mask says which slots there are, its scope which share an expert.

    Returns:
        The likelihood's negative logarithm, a scalar; the posterior ``(B, M, K)``, detached.
    """
    mask = torch.ones_like(labels, dtype=torch.bool) if cond.mask is None else cond.mask
    experts = ends.shape[-2]
    tokens = labels[mask].repeat_interleave(experts)
    losses = decoder.loss(ends[mask].flatten(0, 1), tokens).unflatten(0, (-1, experts))
    placed = losses.new_zeros(logits.shape).masked_scatter(mask.unsqueeze(-1), losses)
    log_pi = torch.log_softmax(group_mean(logits.float(), cond.scope, mask), -1)
    joint = log_pi - group_sum(placed, cond.scope, mask)
    size = group_size(joint, cond.scope, mask).squeeze(-1)
    return masked_mean(-joint.logsumexp(-1) / size, mask), joint.softmax(-1).detach()
