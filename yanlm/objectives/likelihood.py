"""Likelihood of a text under the mixture of what all experts would write in one step, and a cheap gradient of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from moefm import categorical_mixture_loss, drawn_categorical_loss

if TYPE_CHECKING:
    from yanlm.nn.autoencoder import Decoder
    from yanlm.nn.condition import Condition
    from yanlm.nn.network import YanNetwork


class Start:
    """Output of the flow at t = 0, where experts are drawn.

    Attributes:
        velocities: Velocities of all experts, ``(B, M, K, d)``.
        logits: Logits of the gate, ``(B, M, K)``.
        ends: z1 that each expert reaches in one step, ``(B, M, K, d)``.
    """

    def __init__(self, model: YanNetwork, z0: Tensor, cond: Condition) -> None:
        features = model.flow.trunk(z0, 0.0, cond)
        self.velocities, self.logits = model.flow.heads(features), model.flow.gate_logits(features)
        self.ends = z0.unsqueeze(-2) + self.velocities


def text_likelihood(
    decoder: Decoder, ends: Tensor, logits: Tensor, labels: Tensor, cond: Condition
) -> tuple[Tensor, Tensor]:
    r"""Negative log-likelihood of the slots' tokens under the mixture of one-step texts, and each expert's posterior.

    .. math:: -\log \sum_k \pi_k \prod_{l \in g} p_\theta(y_l \mid z_{1,k,l}),
              \quad z_{1,k} = z_0 + u_k(z_0, 0)

    for every group g of slots that share an expert (``cond.scope``), as a mean over slots. An expert that writes one
    of several right texts completely is not pushed towards the others. The cross-entropy of an expert drawn from the
    gate would do that. Not in the paper.

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
    loss = categorical_mixture_loss(placed, logits, mask=mask, scope=cond.scope)
    return loss.total, loss.responsibilities


def drawn_likelihood(
    decoder: Decoder, end: Tensor, logits: Tensor, posterior: Tensor, labels: Tensor, cond: Condition
) -> Tensor:
    r"""A scalar with the gradient of :func:`text_likelihood` in expectation, from one expert drawn from its posterior.

    It is :func:`moefm.drawn_categorical_loss` of decoded latents.

    Args:
        decoder: Reads tokens off latents.
        end: One-step z1 of the expert drawn for every slot, ``(B, M, d)``.
        logits: Gate logits at t = 0, ``(B, M, K)``.
        posterior: r, ``(B, M, K)``, without gradient.
        labels: Tokens ``(B, M)``.
        cond: Its mask says which slots there are, its scope which share an expert.

    Returns:
        A scalar, a mean over slots.
    """
    mask = torch.ones_like(labels, dtype=torch.bool) if cond.mask is None else cond.mask
    losses = decoder.loss(end[mask], labels[mask])
    placed = losses.new_zeros(labels.shape).masked_scatter(mask, losses)
    return drawn_categorical_loss(placed, logits, posterior, mask=mask, scope=cond.scope)
