"""Generation: encode the source once, carry noise to the latents of all slots in a few steps, read tokens off them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from moefm import Routing, sample
from moefm.checks import check_count, check_positive
from yanlm.known import answer_scores, check_choices, likeliest
from yanlm.seeding import EXPERT, NOISE, fresh_seeds, row_normal, sample_streams

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


class Generation(NamedTuple):
    """What a generation returns.

    Attributes:
        tokens: ``(B, samples, M)``; the padding id outside the slot mask.
        assignment: Expert of every slot ``(B, samples, M)``, or ``None`` under mean routing.
        nfe: Evaluations of the flow's trunk.
        scores: Log-probabilities of known answers ``(B, samples, C)``, where one of them was to be chosen.
    """

    tokens: Tensor
    assignment: Tensor | None
    nfe: int
    scores: Tensor | None = None


def check_generation(
    config: Any, source_ids: Tensor, slots: Tensor, samples: int, seeds: Sequence[int] | None
) -> list[int]:
    """Check what every kind of generation takes; return one seed a row."""
    check_count("samples", samples)
    if slots.ndim != 2 or slots.shape[0] != len(source_ids):
        raise ValueError(f"slots must have shape (B, M) with B = {len(source_ids)}, got {tuple(slots.shape)}")
    if slots.numel() and int(slots.max()) >= config.max_length:
        raise ValueError(f"slots must lie below max_length={config.max_length}, got {int(slots.max())}")
    seeds = fresh_seeds(len(slots)) if seeds is None else list(seeds)
    if len(seeds) != len(slots):
        raise ValueError(f"seeds must hold one integer for each of the {len(slots)} rows, got {len(seeds)}")
    return seeds


@torch.no_grad()
def generate(
    model: YanNetwork,
    source_ids: Tensor,
    *,
    slots: Tensor,
    source_mask: Tensor | None = None,
    slot_mask: Tensor | None = None,
    steps: int = 3,
    routing: str | Routing = "frozen",
    solver: str = "euler",
    z0_scale: float = 1.0,
    samples: int = 1,
    seeds: Sequence[int] | None = None,
    choices: Tensor | None = None,
) -> Generation:
    r"""Fill slots: :math:`z_0 \sim N(0, s^2 I)`, ``steps`` Euler steps, the most probable token of each latent.

    One evaluation serves gate and first step, only the routed expert is computed, the source's keys and values are
    computed once, and logits at the slots alone. A row's result depends on its own seed, not on the rest of the batch.

    Args:
        model: A trained :class:`yanlm.YanModel`.
        source_ids: Tokens ``(B, S)``, with the mask token at the slots (slots form) or one mask a span (separate form).
        slots: Positions to fill ``(B, M)``: in the source (slots form) or in the target (separate form).
        source_mask: Boolean ``(B, S)``, True = a token.
        slot_mask: Boolean ``(B, M)``, True = a slot.
        steps: Evaluations of the flow (with Euler).
        routing: ``frozen``, ``greedy``, ``resampled``, ``mean``, ``argmax`` or a :class:`moefm.Routing`.
        solver: As in :func:`moefm.sample`.
        z0_scale: Standard deviation s of the noise: below 1 less diverse, 0 is not allowed.
        samples: Results for every row.
        seeds: One integer a row.
        choices: Known answers ``(C, M)``, one of which is to fill a row's slots: the one most probable as a whole.

    Raises:
        ValueError: An argument is out of range or shapes do not fit.
    """
    check_positive("z0_scale", z0_scale)
    seeds = check_generation(model.config, source_ids, slots, samples, seeds)
    if choices is not None:
        check_choices(choices, slots, slot_mask)
    states = model.encode(source_ids, source_mask)
    cond = model.condition(states, source_ids, source_mask, slots, slot_mask).repeated(samples)
    counts = [slots.shape[1]] * len(slots) if slot_mask is None else slot_mask.sum(1).tolist()
    noise, experts = (sample_streams(seeds, samples, salt) for salt in (NOISE, EXPERT))
    rows = [count for count in counts for _ in range(samples)]
    z0 = z0_scale * row_normal(noise, rows, slots.shape[1], states.shape[-1]).to(states)
    out = sample(
        model.flow,
        z0,
        steps,
        solver=solver,
        routing=routing,
        cond=cond,
        scope=cond.scope,
        mask=cond.mask,
        generator=experts,
    )
    tokens, scores = _read(model, out.z1, choices)
    if cond.mask is not None:
        tokens = tokens.masked_fill(~cond.mask, model.config.pad_token_id or 0)
    assignment = None if out.assignment is None else out.assignment.unflatten(0, (-1, samples))
    scores = None if scores is None else scores.unflatten(0, (-1, samples))
    return Generation(tokens.unflatten(0, (-1, samples)), assignment, out.nfe, scores)


def _read(model: YanNetwork, z1: Tensor, choices: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Tokens of latents: each the most probable, or the answer that is, with the scores of all answers."""
    if choices is None:
        return model.decoder.tokens(z1), None
    scores = answer_scores(model.decoder(z1), choices)
    return likeliest(scores, choices), scores
