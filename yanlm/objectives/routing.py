"""Routing losses of stage 2: through all experts, Eq. (5), or through the one that wrote the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from moefm import consistent_moefm_loss, moefm_loss, sample
from moefm.losses import Loss
from moefm.numeric import masked_mean
from moefm.routing import draw_expert
from moefm.scope import group_mean
from yanlm.nn.condition import Condition
from yanlm.nn.flow import Features
from yanlm.objectives.likelihood import Start, drawn_likelihood, text_likelihood
from yanlm.objectives.settings import Stage2
from yanlm.seeding import EXPERT, generators

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


class Routed(NamedTuple):
    """The routing loss of a batch, and what the rest of the objective needs from it."""

    total: Tensor
    parts: dict[str, Tensor]
    logits: Tensor  # (B, M, K)
    z1_hat: Tensor  # (B, M, d), what the cross-entropy decodes


Point = tuple[Tensor, Tensor]
"""A point of the path, (B, M, d), and its time (B,)."""


def all_experts(
    model: YanNetwork,
    settings: Stage2,
    z0: Tensor,
    at: Point,
    target: Tensor,
    labels: Tensor,
    cond: Condition,
    seeds: Sequence[int],
) -> Routed:
    """Gradients through every expert: Eq. (5), or its variants.

    Args:
        model: Its flow and its decoder are used.
        settings: Which variant, and the weights of its parts.
        z0: Noise ``(B, M, d)``.
        at: Points of the path ``(B, M, d)`` and their times ``(B,)``.
        target: Velocities to learn, z1 - z0, ``(B, M, d)``.
        labels: Tokens ``(B, M)``.
        cond: The source; its mask ``(B, M)`` says which slots there are.
        seeds: One integer a row, from which the experts are drawn.
    """
    flow, (z_t, t) = model.flow, at
    start = Start(model, z0, cond) if settings.ce == "mixture" or settings.objective == "consistent" else None
    features = flow.trunk(z_t, t, cond)
    velocities = flow.heads(features)
    logits = flow.gate_logits(features) if start is None else start.logits
    loss = _routing_loss(model, settings, features, velocities, logits, target, cond, start)
    parts: dict[str, Tensor] = {"flow": loss.velocity, "gate": loss.gate}
    total = loss.total
    if settings.ce == "unrolled":
        z1_hat = _unrolled(model, settings, z0, cond, seeds)
    elif settings.ce == "rollout":
        z1_hat = _rollout(model, z0, t, cond, seeds)
    elif settings.ce == "mixture":
        assert start is not None
        parts["mixture"], posterior = text_likelihood(model.decoder, start.ends, start.logits, labels, cond)
        total = total + settings.ce_weight * parts["mixture"]
        index = _writer_of(posterior, cond, seeds)
        z1_hat = _roll_on(model, _chosen(start.velocities, index), index, z0, t, cond)
    else:
        assert loss.responsibilities is not None
        pooled = group_mean(logits, cond.scope, cond.mask)
        drawn_from = pooled if settings.draw == "gate" else loss.responsibilities.clamp_min(1e-30).log()
        index = draw_expert(drawn_from.detach(), generators(seeds, EXPERT), cond.scope).to(z0.device)
        z1_hat = z_t + features.remaining * _chosen(velocities, index)
    return Routed(total, parts, logits, z1_hat)


def one_expert(
    model: YanNetwork,
    settings: Stage2,
    z0: Tensor,
    at: Point,
    target: Tensor,
    labels: Tensor,
    cond: Condition,
    detached: Condition,
    seeds: Sequence[int],
) -> Routed:
    """Gradients through the expert that is drawn from its posterior given the text; the others are only evaluated.

    Args:
        model: Its flow and its decoder are used.
        settings: Weights of the parts.
        z0: Noise ``(B, M, d)``.
        at: Points of the path ``(B, M, d)`` and their times ``(B,)``.
        target: Velocities to learn, z1 - z0, ``(B, M, d)``.
        labels: Tokens ``(B, M)``.
        cond: The source; its mask ``(B, M)`` says which slots there are.
        detached: The same source without gradients to the encoder, for the experts that are only evaluated.
        seeds: One integer a row, from which the experts are drawn.
    """
    flow = model.flow
    with torch.no_grad():
        start = Start(model, z0, detached)
        nll, posterior = text_likelihood(model.decoder, start.ends, start.logits, labels, detached)
    index = _writer_of(posterior, cond, seeds)
    at_start, at_t = flow.trunk(z0, 0.0, cond), flow.trunk(*at, cond)
    velocity, logits = flow.head(at_start, index), flow.gate_logits(at_start)
    error = flow.head(at_t, index) - target
    if model.config.prediction == "data":  # as in _routing_loss
        error = at_t.remaining * error
    square = masked_mean(error.square().mean(-1), cond.mask)
    likelihood = drawn_likelihood(model.decoder, z0 + velocity, logits, posterior, labels, cond)
    total = settings.flow * square + settings.ce_weight * likelihood
    z1_hat = _roll_on(model, velocity, index, z0, at[1], cond)
    return Routed(total, {"flow": square, "mixture": nll}, logits, z1_hat)


def _writer_of(posterior: Tensor, cond: Condition, seeds: Sequence[int]) -> Tensor:
    """An expert for every slot ``(B, M)``, drawn from its posterior ``(B, M, K)`` given the text."""
    drawn = draw_expert(posterior.clamp_min(1e-30).log(), generators(seeds, EXPERT), cond.scope)
    return drawn.to(posterior.device)


def _chosen(velocities: Tensor, index: Tensor) -> Tensor:
    """Velocity ``(B, M, d)`` of expert ``index`` ``(B, M)`` among those of all."""
    return velocities.take_along_dim(index[..., None, None], -2).squeeze(-2)


def _routing_loss(
    model: YanNetwork,
    settings: Stage2,
    features: Features,
    velocities: Tensor,
    logits: Tensor,
    target: Tensor,
    cond: Condition,
    start: Start | None,
) -> Loss:
    """The mixture loss of ``velocities`` ``(B, M, K, d)`` and ``logits`` ``(B, M, K)`` for a ``target`` ``(B, M, d)``.

    With ``units="nats"`` it is Eq. (5). Else the velocity part is brought to one unit a dimension and the gate part
    keeps its own weight: in hundreds of dimensions the raw likelihood is of order 1e4 and would drown everything else.
    When experts predict z1, errors are those of z1, that is (1 - t) times the velocity's: bounded at t = 1.
    """
    config = model.config
    weight = features.remaining.unsqueeze(-2) if config.prediction == "data" else 1.0
    velocities = target.unsqueeze(-2) + weight * (velocities - target.unsqueeze(-2))
    if settings.objective == "paper":
        unit = 1.0 if settings.units == "nats" else 2 * config.sigma**2 / config.d_model
        loss = moefm_loss(
            velocities,
            logits,
            target,
            sigma=config.sigma,
            mask=cond.mask,
            scope=cond.scope,
            velocity_scale=settings.flow * unit,
            gate_scale=settings.gate,
        )
        return loss._replace(velocity=loss.velocity * unit)
    assert start is not None
    loss = consistent_moefm_loss(  # sigma^2 NLL at 0 plus half the square error at t: the same units, other factors
        velocities,
        start.velocities,
        logits,
        target,
        sigma=config.sigma,
        mask=cond.mask,
        scope=cond.scope,
        velocity_scale=settings.flow / config.d_model,
        gate_scale=settings.gate / config.sigma**2,
    )
    return loss._replace(velocity=loss.velocity / config.d_model, gate=loss.gate / config.sigma**2)


def _unrolled(model: YanNetwork, settings: Stage2, z0: Tensor, cond: Condition, seeds: Sequence[int]) -> Tensor:
    """End of the ODE from z0 ``(B, M, d)`` under frozen routing, with gradients through every step (section 4.2)."""
    steps = 1 + seeds[0] % settings.steps if settings.random_steps else settings.steps
    return sample(
        model.flow, z0, steps, cond=cond, scope=cond.scope, mask=cond.mask, generator=generators(seeds, EXPERT)
    ).z1


def _rollout(model: YanNetwork, z0: Tensor, t: Tensor, cond: Condition, seeds: Sequence[int]) -> Tensor:
    """Estimate of z1 ``(B, M, d)`` from where the sampler would be at times t ``(B,)``, one Euler step from z0.

    A point of the true path at t > 0 already holds the answer, and reading it off there is not what a sampler has to
    do: its own states hold its own guesses. The expert is drawn at t = 0 and kept, as in sampling. The Euler step has
    no gradient.
    """
    flow = model.flow
    with torch.no_grad():
        start = flow.trunk(z0, 0.0, cond)
        logits = group_mean(flow.gate_logits(start), cond.scope, cond.mask)
        index = draw_expert(logits, generators(seeds, EXPERT), cond.scope).to(z0.device)
        z_t = z0 + t[:, None, None] * flow.head(start, index)
    features = flow.trunk(z_t, t, cond)
    return z_t + features.remaining * flow.head(features, index)


def _roll_on(model: YanNetwork, velocity: Tensor, index: Tensor, z0: Tensor, t: Tensor, cond: Condition) -> Tensor:
    """As :func:`_rollout`, with the expert ``index`` ``(B, M)`` that wrote the text at t = 0, and its ``velocity``."""
    z_t = (z0 + t[:, None, None] * velocity).detach()
    features = model.flow.trunk(z_t, t, cond)
    return z_t + features.remaining * model.flow.head(features, index)
