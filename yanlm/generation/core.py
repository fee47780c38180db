"""The part of a generation that never leaves the device: tensors of fixed shapes in, tokens out.

The checks, counts and random numbers before it may wait for the device, and so may the check afterwards that all
numbers are finite. Nothing in between does, so a GPU can record it once and replay it as one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from moefm import sample
from moefm.routing import Frozen, Resampled, get_routing
from moefm.solvers import SOLVERS
from yanlm.generation.choices import answer_scores, likeliest
from yanlm.generation.options import GenerationOptions
from yanlm.generation.result import Generation, check_finite
from yanlm.generation.watching import Watcher
from yanlm.nn.slots import gather_tokens

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


class Given(NamedTuple):
    """The inputs of a generation besides its model.

    B texts have N rows of results: B * samples, times the number of candidates. The rows of one text follow one
    another.

    Attributes:
        source_ids: Tokens ``(B, S)``.
        source_mask: ``(B, S)``, True = a token.
        slots: Positions ``(B, M)``.
        slot_mask: ``(B, M)``, True = a slot.
        noise: z0 ``(N, M, d)``.
        uniforms: Numbers for drawing experts, ``(draws, N, M)``; ``None`` if generators draw them.
        choices: Known answers ``(C, M)``, one of which fills a row's slots.
        points: Experts of a continuum ``(N, M, K)``.
        words: Numbers for drawing words, ``(N, M)``, if there is a temperature.
        judge: Noise for judging candidates, ``(N, M, d)``.
        states: The encoded source ``(B, S, d)``, if it has been encoded already; such a run is not recorded.
        wanted: Numbers of the slots whose tokens are read ``(B, W)``, unless all are; rows repeat one of theirs.
    """

    source_ids: Tensor
    source_mask: Tensor | None
    slots: Tensor
    slot_mask: Tensor | None
    noise: Tensor
    uniforms: Tensor | None = None
    choices: Tensor | None = None
    points: Tensor | None = None
    words: Tensor | None = None
    judge: Tensor | None = None
    states: Tensor | None = None
    wanted: Tensor | None = None


class Filled(NamedTuple):
    """The filled slots.

    Attributes:
        tokens: ``(N, M)``, the padding id where there is no slot; of several candidates the kept one.
        computed: The numbers by which tokens were chosen; they have to be finite.
        assignment: Experts ``(N, M)``, or ``None``.
        scores: Scores of ``choices``, ``(N, C)``.
        nfe: Evaluations of the flow.
    """

    tokens: Tensor
    computed: Tensor
    assignment: Tensor | None
    scores: Tensor | None
    nfe: int

    def generation(self, samples: int) -> Generation:
        """The result, after checking its numbers.

        Raises:
            ValueError: They are not finite.
        """
        check_finite(self.computed)

        def apart(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.unflatten(0, (-1, samples))

        tokens = self.tokens.unflatten(0, (-1, samples))
        return Generation(tokens, apart(self.assignment), self.nfe, apart(self.scores))


def expert_draws(options: GenerationOptions) -> int | None:
    """How often a run draws experts, or ``None`` if this is only known after the run.

    Example:
        >>> expert_draws(GenerationOptions()), expert_draws(GenerationOptions(routing="greedy"))
        (1, 0)
        >>> expert_draws(GenerationOptions(routing="resampled", steps=3, solver="heun"))
        6
    """
    policy = get_routing(options.routing)
    if isinstance(policy, Resampled):
        return options.steps * len(SOLVERS[options.solver].nodes) if options.solver in SOLVERS else None
    if policy is options.routing:  # a policy of the user
        return None
    return int(isinstance(policy, Frozen))


def fixed(options: GenerationOptions) -> bool:
    """Whether the work is the same in every run with these options: no adaptive steps, no unknown policy.

    Example:
        >>> fixed(GenerationOptions(solver="rk4")), fixed(GenerationOptions(solver="dopri5"))
        (True, False)
    """
    return options.solver in SOLVERS and expert_draws(options) is not None


def fill(
    model: YanNetwork,
    given: Given,
    options: GenerationOptions,
    experts: Sequence[torch.Generator] | None = None,
    watcher: Watcher | None = None,
) -> Filled:
    """Encode, condition, draw experts, integrate, read tokens.

    Args:
        model: Its flow stands behind the encoder.
        given: All inputs of the run.
        options: Steps, solver, routing and samples.
        experts: A generator for each of the N rows, if ``given`` has no uniforms.
        watcher: Receives, after every step, where the latents would end.
    """
    states = model.encode(given.source_ids, given.source_mask) if given.states is None else given.states
    cond = model.condition(states, given.source_ids, given.source_mask, given.slots, given.slot_mask)
    cond = cond.repeated(options.samples)
    out = sample(
        model.flow,
        given.noise.to(states.dtype),
        options.steps,
        solver=options.solver,
        routing=options.routing,
        cond=cond,
        scope=cond.scope,
        mask=cond.mask,
        generator=experts,
        uniforms=given.uniforms,
        trajectory=watcher is not None,
    )
    if watcher is not None and out.trajectory is not None:
        _show(model, watcher, out.trajectory, out.times, cond.mask)
    if given.choices is not None:
        scores = answer_scores(model.decoder(out.z1), given.choices)
        return Filled(likeliest(scores, given.choices), scores, out.assignment, scores, out.nfe)
    tokens, computed = _best(model, out.z1, given.wanted, options.samples)
    if cond.mask is not None:
        tokens = tokens.masked_fill(~cond.mask, model.config.pad_token_id or 0)
        computed = computed.masked_fill(~cond.mask, 0)
    return Filled(tokens, computed, out.assignment, None, out.nfe)


def _show(model: YanNetwork, watcher: Watcher, states: Tensor, times: Tensor, mask: Tensor | None) -> None:
    """Show the tokens at the end of the straight line through each step of ``states`` ``(T + 1, N, M, d)``."""
    for before, after, t, following in zip(states, states[1:], times, times[1:], strict=False):
        logits = model.decoder(before + (1 - t) / (following - t) * (after - before))
        watcher.see(logits.float().softmax(-1), mask, time_of_flow=float(t), timed=False)


def _best(model: YanNetwork, z1: Tensor, wanted: Tensor | None, samples: int) -> tuple[Tensor, Tensor]:
    """Most probable tokens and their logits ``(N, M)``; padding and 0 at slots that are not wanted."""
    if wanted is None:
        return model.decoder.best(z1)
    wanted = wanted.repeat_interleave(samples, 0)
    read = model.decoder.best(gather_tokens(z1, wanted))
    empty = (model.config.pad_token_id or 0, 0.0)
    tokens, logits = (z1.new_full(z1.shape[:2], x, dtype=y.dtype) for x, y in zip(empty, read, strict=True))
    return tokens.scatter(1, wanted, read[0]), logits.scatter(1, wanted, read[1])
