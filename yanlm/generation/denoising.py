"""Generation by a flow whose denoiser is the encoder: noise at the masks becomes tokens in T passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from moefm.routing import Router, draw_uniforms, get_routing
from yanlm.generation.choices import answer_scores, likeliest
from yanlm.generation.core import Filled, Given, expert_draws
from yanlm.generation.cuda_graphs import run
from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.generation.result import Generation, check_generation, finite_flow
from yanlm.generation.token_sampling import Canvas, choose, slot_uniforms, special_ids
from yanlm.generation.unmasking import Turn, in_turns
from yanlm.generation.watching import Watcher
from yanlm.nn.denoiser import LAST, TokenReader
from yanlm.nn.places import Places
from yanlm.nn.slots import held_slots
from yanlm.seeding import EXPERT, GAUSSIAN, NOISE, row_normal, sample_streams

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

PACE = 1.5
"""Pace of rereading: the first passes, in which little is decided, write fewer words than the last ones."""
HALF_WAY = 0.5
"""Information time to which candidates are noised again to be judged: half of the information is there."""


class Solved(NamedTuple):
    """Where a run of the sampler ended."""

    probabilities: Tensor  # (N, M, V), of the last evaluation
    assignment: Tensor | None  # (N, M)


@torch.no_grad()
def denoise(
    model: YanNetwork,
    source_ids: Tensor,
    *,
    slots: Tensor,
    source_mask: Tensor | None = None,
    slot_mask: Tensor | None = None,
    options: GenerationOptions = DEFAULTS,
    choices: Tensor | None = None,
    watcher: Watcher | None = None,
) -> Generation:
    r"""Fill slots: :math:`z_0 \sim N(0, s^2 I)`, T passes of the encoder, the most probable token of the last one.

    The times are equal steps of the information that training measured (:meth:`EncoderFlow.times`). The expert is drawn
    from the gate at t = 0, in the first pass, and kept. With ``candidates`` n each sample has n results, at n (T + 1)
    passes. Each gets half of its noise back and is read again. The one whose tokens are then most probable is kept.

    Args:
        model: A model whose flow's denoiser is its encoder.
        source_ids: Tokens ``(B, S)`` with the mask at every slot.
        slots: Ascending positions of the slots ``(B, M)``.
        source_mask: ``(B, S)``, True = a token.
        slot_mask: ``(B, M)``, True = a slot.
        options: Steps T, routing, scale of the noise, temperature of the last pass, candidates, samples and seeds.
        choices: Known answers ``(C, M)``; the one that is most probable as a whole fills a row's slots.
        watcher: Receives every pass; then nothing is recorded on a GPU.

    Returns:
        Tokens ``(B, samples, M)``, the experts, and ``nfe``, the passes of the encoder.

    Raises:
        ValueError: The model does not take an option, or shapes do not fit.
    """
    seeds = check_generation(model.config, source_ids, slots, slot_mask, options, choices)
    many = options.samples * options.candidates
    noise, experts = (sample_streams(seeds, many, salt) for salt in (NOISE, EXPERT))
    # Words are drawn from the noise's stream after it; vectors that are drawn elsewhere have a stream of their own.
    vectors = sample_streams(seeds, many, GAUSSIAN, model.device) if options.device_noise else noise
    held = held_slots(slots, slot_mask, many)
    points, draws = model.draw_points(slots.shape[1], experts), expert_draws(options)
    given = Given(
        source_ids,
        source_mask,
        slots,
        slot_mask,
        noise=options.z0_scale * _noise(model, vectors, held),
        uniforms=None if draws is None else draw_uniforms(draws, held.shape, experts).to(model.device),
        choices=None if choices is None else choices.to(model.device),
        points=None if points is None else points.to(model.device),
        words=_word_uniforms(held, noise) if options.temperature else None,
        judge=_noise(model, vectors, held) if options.candidates > 1 else None,
    )
    with finite_flow():
        out = run(fill_by_encoder, model, given, options, experts, watcher)
    return out.generation(options.samples)


def fill_by_encoder(
    model: YanNetwork,
    given: Given,
    options: GenerationOptions,
    experts: Sequence[torch.Generator] | None = None,
    watcher: Watcher | None = None,
) -> Filled:
    """Steps, tokens and the choice among candidates: :func:`yanlm.generation.core.fill` if the encoder denoises.

    Args:
        model: Its encoder is the denoiser.
        given: All inputs of the run.
        options: Steps, routing, temperature, candidates and samples.
        experts: A generator for each of the N rows, if ``given`` has no uniforms.
        watcher: Receives every pass.
    """
    config, rows = model.config, torch.arange(len(given.slots), device=given.slots.device)
    rows = rows.repeat_interleave(options.samples * options.candidates)
    masks = (None if mask is None else mask[rows] for mask in (given.source_mask, given.slot_mask))
    places = model.places(
        given.source_ids[rows], next(masks), given.slots[rows], next(masks), experts or (), given.points
    )
    router = Router(experts, places.scope, places.mask, None, given.uniforms)
    solved = _solve(model, given.noise, places, options, router, watcher)
    probabilities, assignment = solved
    computed, scores, kept, nfe = probabilities.amax(-1), None, None, options.steps
    if given.choices is None:
        flat, words = probabilities.flatten(0, 1), None if given.words is None else given.words.flatten()
        chosen, _ = choose(flat.clamp_min(1e-30).log(), special_ids(config), options.temperature, words)
        tokens = chosen.unflatten(0, places.slots.shape)
    else:
        scores = answer_scores(probabilities.clamp_min(1e-30).log(), given.choices)
        tokens = likeliest(scores, given.choices)
    if places.mask is not None:
        tokens = tokens.masked_fill(~places.mask, config.pad_token_id or 0)
        computed = computed.masked_fill(~places.mask, 0)
    if given.judge is not None:
        kept = _most_probable(model, tokens, places, solved, given.judge, options)
        tokens, assignment = tokens[kept], None if assignment is None else assignment[kept]
        nfe = options.candidates * (options.steps + 1)
    if watcher is not None:
        watcher.wrote(tokens, kept)
    return Filled(tokens, computed, assignment, scores, nfe)


def _noise(model: YanNetwork, streams: list[torch.Generator], held: Tensor) -> Tensor:
    """Standard normal vectors at the slots ``(N, M, e)``."""
    return row_normal(streams, held, model.denoiser.dim).to(model.device)


def _word_uniforms(held: Tensor, streams: list[torch.Generator]) -> Tensor:
    """A number for every slot ``(N, M)``, zeros elsewhere."""
    return torch.zeros(held.shape, device=held.device).masked_scatter(held, slot_uniforms(held, streams))


def _solve(
    model: YanNetwork, z: Tensor, places: Places, options: GenerationOptions, router: Router, watcher: Watcher | None
) -> Solved:
    """Euler steps on the grid of information time. Every pass gives tokens; those of the last one are the result."""
    flow = model.denoiser
    policy, codebook = get_routing(options.routing), flow.codebook(model.encoder)
    reader: Any = TokenReader(flow)  # policies route it as they route a field
    times = flow.times(options.steps)
    assignment: Tensor | None = None
    probabilities = z
    for t, after in pairwise(times):
        probabilities, assignment = policy(reader, flow.trunk(z, t, places), assignment, router)
        z = z + (after - t) / (1 - t) * (probabilities @ codebook - z)
        if watcher is not None:
            watcher.see(probabilities, places.mask, special_ids(model.config), time_of_flow=float(t))
    return Solved(probabilities, assignment)


def _most_probable(
    model: YanNetwork, tokens: Tensor, places: Places, solved: Solved, noise: Tensor, options: GenerationOptions
) -> Tensor:
    """Rows ``(B * samples,)`` of the candidates whose tokens ``(N, M)`` survive noise best."""
    flow = model.denoiser
    t = flow.information.quantile(torch.full((), HALF_WAY, device=noise.device))
    z_t = t * torch.nn.functional.embedding(tokens, flow.codebook(model.encoder)) + (1 - t) * noise
    features = flow.trunk(z_t, t, places)
    if solved.assignment is None:
        reader: Any = TokenReader(flow)
        router = Router(None, places.scope, places.mask)
        probabilities, _ = get_routing("mean")(reader, features, None, router)
    else:
        probabilities = flow.probabilities(flow.one_feature(features, solved.assignment), places)
    own = probabilities.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).clamp_min(1e-30).log()
    score = own.sum(1) if places.mask is None else (own * places.mask).sum(1)
    best = score.unflatten(0, (-1, options.candidates)).argmax(1)
    return torch.arange(len(best), device=best.device) * options.candidates + best


@torch.no_grad()
def denoise_in_turns(
    model: YanNetwork,
    source_ids: Tensor,
    *,
    slots: Tensor,
    source_mask: Tensor | None = None,
    slot_mask: Tensor | None = None,
    options: GenerationOptions = DEFAULTS,
    watcher: Watcher | None = None,
) -> Generation:
    r"""Fill slots in T passes of a flow that reads what it wrote: after each, the surest tokens enter the source.

    Noise and source decide together. A pass moves every remaining slot along the flow, as :func:`denoise` does. Then
    the most probable tokens are written, until :math:`\lceil M (i/T)^{3/2} \rceil` of a row's M slots are filled after
    pass i of T, and the next pass reads them as clean words. The noise makes the words of a text agree on one of
    several answers, and written words cannot be lost again.

    Arguments and errors are those of :func:`yanlm.generation.rereading.reread`.

    Returns:
        Tokens ``(B, samples, M)``, the experts, drawn once, and ``nfe``, the passes; no row takes more than it has
        slots.
    """
    canvas = Canvas(model.config, source_ids, slots, slot_mask, replace(options, reread=True))
    experts = sample_streams(canvas.seeds, options.samples, EXPERT)
    flow, policy, codebook = model.denoiser, get_routing(options.routing), model.denoiser.codebook(model.encoder)
    reader: Any = TokenReader(flow)
    z = options.z0_scale * _noise(model, canvas.streams, canvas.held)
    turns = canvas.held.sum(1).clamp(1, options.steps).to(z)
    passes = torch.zeros_like(turns)
    first: Tensor | None = None
    points: Tensor | None = None

    def log_probabilities(turn: Turn) -> Tensor:
        nonlocal first, points
        rows, own = turn.rows, [experts[i] for i in turn.rows.tolist()]
        places = model.places(turn.ids, turn.seen, turn.slots, turn.left, own)
        if places.points is not None:  # those of the first pass, in which all rows take part
            points = places.points if points is None else points
            places = replace(places, points=points[rows])
        router = Router(own, places.scope, turn.left)
        known = first[rows] if first is not None and policy.uses_assignment else None
        u = ((passes[rows] + i) / (turns[rows] - 1 + LAST) for i in (0, 1))  # the times of as many steps as turns
        t, after = (flow.information.quantile(x.clamp(max=1)) for x in u)
        with finite_flow():
            probabilities, assignment = policy(reader, flow.trunk(z[rows], t, places), known, router)
        if first is None and assignment is not None:
            first = torch.zeros_like(canvas.tokens).index_copy(0, rows, assignment)
        share = ((after - t) / (1 - t))[:, None, None]
        z[rows] = z[rows] + share * (probabilities @ codebook - z[rows]).to(z)
        passes[rows] += 1
        return probabilities.clamp_min(1e-30).log()

    where = (source_ids, source_mask, slots)
    out = in_turns(model.config, canvas, log_probabilities, lambda logits: logits, *where, PACE, watcher)
    return out._replace(assignment=None if first is None else first.unflatten(0, (-1, options.samples)))
