"""Generation by a flow whose denoiser is the encoder: noise at the masks becomes tokens in T passes."""

from __future__ import annotations

from collections.abc import Sequence
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
from yanlm.generation.token_sampling import choose, slot_uniforms, special_ids
from yanlm.generation.watching import Watcher
from yanlm.nn.denoiser import TokenReader
from yanlm.nn.places import Places
from yanlm.nn.slots import held_slots
from yanlm.seeding import EXPERT, GAUSSIAN, NOISE, row_normal, sample_streams

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

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

    The times are equal steps of the information that training measured (:meth:`EncoderFlow.times`), and the first pass
    takes its noise for a hint (:func:`yanlm.nn.noise.reading`). In it the expert is drawn from the gate, and kept. With
    ``candidates`` n each sample has n results, at n (T + 1) passes. Each gets half of its noise back and is read
    again. The one whose tokens are then most probable is kept.

    Args:
        model: A model whose flow's denoiser is its encoder.
        source_ids: Tokens ``(B, S)`` with the mask at every slot.
        slots: Ascending positions of the slots ``(B, M)``.
        source_mask: ``(B, S)``, True = a token.
        slot_mask: ``(B, M)``, True = a slot.
        options: Steps T, routing, scale and weight of the noise, temperature of the last pass, candidates, samples and
            seeds.
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
        noise=options.z0_scale * noise_of(model, vectors, held),
        uniforms=None if draws is None else draw_uniforms(draws, held.shape, experts).to(model.device),
        choices=None if choices is None else choices.to(model.device),
        points=None if points is None else points.to(model.device),
        words=_word_uniforms(held, noise) if options.temperature else None,
        judge=noise_of(model, vectors, held) if options.candidates > 1 else None,
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
    places = model.denoiser.with_codebook(places)
    router = Router(experts, places.scope, places.mask, None, given.uniforms)
    perturb = options.perturb if given.choices is None else 0.0  # known answers are compared, and none is drawn
    solved = _solve(model, given.noise, places, options, router, perturb, watcher)
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


def noise_of(model: YanNetwork, streams: list[torch.Generator], held: Tensor) -> Tensor:
    """Standard normal vectors at the slots ``(N, M, e)``."""
    return row_normal(streams, held, model.denoiser.dim).to(model.device)


def _word_uniforms(held: Tensor, streams: list[torch.Generator]) -> Tensor:
    """A number for every slot ``(N, M)``, zeros elsewhere."""
    return torch.zeros(held.shape, device=held.device).masked_scatter(held, slot_uniforms(held, streams))


def _solve(
    model: YanNetwork,
    z: Tensor,
    places: Places,
    options: GenerationOptions,
    router: Router,
    perturb: float | None,
    watcher: Watcher | None,
) -> Solved:
    """Euler steps on the grid of information time. Every pass gives tokens; those of the last one are the result."""
    flow = model.denoiser
    policy, codebook = get_routing(options.routing), flow.token_vectors(places)
    reader: Any = TokenReader(flow)  # policies route it as they route a field
    times = flow.times(options.steps)
    assignment: Tensor | None = None
    probabilities = z
    for t, after in pairwise(times):
        probabilities, assignment = policy(reader, flow.trunk(z, t, places, perturb), assignment, router)
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
    z_t = t * torch.nn.functional.embedding(tokens, flow.token_vectors(places)) + (1 - t) * noise
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
