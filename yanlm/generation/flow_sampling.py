"""Generation: encode the source once, carry noise to the latents of all slots in a few steps, read tokens off them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from moefm.checks import check_shape
from moefm.routing import draw_uniforms
from yanlm.generation.core import Given, expert_draws, fill
from yanlm.generation.cuda_graphs import run
from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.generation.result import Generation, check_generation, finite_flow
from yanlm.generation.watching import Watcher
from yanlm.nn.slots import held_slots
from yanlm.seeding import EXPERT, NOISE, row_normal, sample_streams

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


@torch.no_grad()
def generate(
    model: YanNetwork,
    source_ids: Tensor,
    *,
    slots: Tensor,
    source_mask: Tensor | None = None,
    slot_mask: Tensor | None = None,
    options: GenerationOptions = DEFAULTS,
    choices: Tensor | None = None,
    states: Tensor | None = None,
    wanted: Tensor | None = None,
    watcher: Watcher | None = None,
) -> Generation:
    r"""Fill slots: :math:`z_0 \sim N(0, s^2 I)`, ``options.steps`` Euler steps, the most probable token of each latent.

    One evaluation serves gate and first step, only the routed expert is computed, the keys and values of the source are
    computed once, and logits only at the slots. A row's result depends on its own seed, not on the rest of the batch.

    Args:
        model: A trained :class:`yanlm.YanModel`.
        source_ids: Tokens ``(B, S)``, with the mask token at the slots (slots form) or one mask per span (separate
            form).
        slots: Positions to fill ``(B, M)``: in the source (slots form) or in the target (separate form).
        source_mask: Boolean ``(B, S)``, True = a token.
        slot_mask: Boolean ``(B, M)``, True = a slot.
        options: Steps, routing, solver, scale s of the noise, samples and seeds.
        choices: Known answers ``(C, M)``; the one that is most probable as a whole fills a row's slots.
        states: The encoded source ``(B, S, d)``, if it has been encoded already.
        wanted: Boolean ``(B, M)``, True = a slot whose token is wanted; the others come back as padding. In the
            separate form every position of the target is a slot, so this saves the logits of given words.
        watcher: Receives every step; then nothing is recorded on a GPU.

    Returns:
        Tokens ``(B, samples, M)``, the expert of each slot, and ``nfe``, the evaluations of the flow.

    Raises:
        ValueError: The model does not take an option, or shapes do not fit.
    """
    seeds, samples = check_generation(model.config, source_ids, slots, slot_mask, options, choices), options.samples
    noise = sample_streams(seeds, samples, NOISE, model.device if options.device_noise else "cpu")
    experts = sample_streams(seeds, samples, EXPERT)
    held = held_slots(slots, slot_mask, samples)
    z0 = options.z0_scale * row_normal(noise, held, model.config.d_model)
    draws = expert_draws(options)
    uniforms = None if draws is None else draw_uniforms(draws, held.shape, experts).to(model.device)
    noises = z0.to(model.device, model.dtype)
    given = Given(source_ids, source_mask, slots, slot_mask, noises, uniforms, choices, states=states)
    if wanted is not None:
        given = given._replace(wanted=wanted_slots(wanted, slots, slot_mask, choices))
    with finite_flow():
        out = run(fill, model, given, options, experts, watcher)
    return out.generation(samples)


def wanted_slots(wanted: Tensor, slots: Tensor, slot_mask: Tensor | None, choices: Tensor | None = None) -> Tensor:
    """Numbers ``(B, W)`` of the slots that ``wanted`` ``(B, M)`` names; a row with fewer than W repeats its first.

    Raises:
        ValueError: It has another shape, or names no slot of some row, or something that is none, or known answers are
            compared, which need all slots.
        TypeError: It is not boolean.

    Example:
        >>> slots = torch.tensor([[1, 2, 5], [3, 4, 6]])
        >>> wanted_slots(torch.tensor([[True, False, True], [False, True, False]]), slots, None)
        tensor([[0, 2],
                [1, 1]])
    """
    if wanted.dtype != torch.bool:
        raise TypeError(f"wanted must be a boolean tensor (True = read), got {wanted.dtype}")
    check_shape("wanted", wanted, tuple(slots.shape), "(B, M)")
    if choices is not None:
        raise ValueError("wanted must not be given beside choices, which are compared at all slots: leave out one")
    if slot_mask is not None and bool((wanted & ~slot_mask).any()):
        raise ValueError("wanted must name slots alone, got places outside slot_mask")
    counts = wanted.sum(1)
    if not counts.numel() or not bool(counts.all()):
        raise ValueError("wanted must name at least one slot in every row; generate the other rows apart")
    order = wanted.long().argsort(dim=1, descending=True, stable=True)[:, : int(counts.max())]
    return torch.where(torch.arange(order.shape[1], device=order.device) < counts.unsqueeze(1), order, order[:, :1])
