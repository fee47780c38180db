"""Generation by a flow whose denoiser is the encoder and which reads what it wrote after each pass."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moefm.routing import Router, get_routing
from yanlm.generation.denoising import noise_of
from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.generation.result import Generation, finite_flow
from yanlm.generation.token_sampling import Canvas
from yanlm.generation.unmasking import Turn, in_turns
from yanlm.generation.watching import Watcher
from yanlm.nn.denoiser import LAST, TokenReader
from yanlm.seeding import EXPERT, sample_streams

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

PACE = 1.25
"""Pace of rereading: the first passes, in which little is decided, write fewer words than the last ones."""


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
    r"""Fill slots in T passes with rereading: after each pass the most confident tokens enter the source.

    Noise and source decide together. A pass moves every remaining slot along the flow, as in
    :func:`yanlm.generation.denoising.denoise`. Then the most probable tokens are written, until
    :math:`\lceil M (i/T)^{5/4} \rceil` of a row's M slots are filled after pass i of T, and the next pass reads them as
    clean words. The noise makes the words of a text agree on one of several answers, and written words cannot be lost
    again.

    Arguments and errors are those of :func:`yanlm.generation.rereading.reread`.

    Returns:
        Tokens ``(B, samples, M)``, the experts, drawn once, and ``nfe``, the passes; no row takes more than it has
        slots.
    """
    canvas = Canvas(model.config, source_ids, slots, slot_mask, replace(options, reread=True))
    experts = sample_streams(canvas.seeds, options.samples, EXPERT)
    flow, policy, codebook = model.denoiser, get_routing(options.routing), model.denoiser.codebook(model.encoder)
    reader: Any = TokenReader(flow)
    z = options.z0_scale * noise_of(model, canvas.streams, canvas.held)
    turns = canvas.held.sum(1).clamp(1, options.steps).to(z)
    passes = torch.zeros_like(turns)
    first: Tensor | None = None
    points: Tensor | None = None

    def log_probabilities(turn: Turn) -> Tensor:
        nonlocal first, points
        rows, own = turn.rows, [experts[i] for i in turn.rows.tolist()]
        places = replace(model.places(turn.ids, turn.seen, turn.slots, turn.left, own), codebook=codebook)
        if places.points is not None:  # those of the first pass, in which all rows take part
            points = places.points if points is None else points
            places = replace(places, points=points[rows])
        router = Router(own, places.scope, turn.left)
        known = first[rows] if first is not None and policy.uses_assignment else None
        u = ((passes[rows] + i) / (turns[rows] - 1 + LAST) for i in (0, 1))  # the times of as many steps as turns
        t, after = (flow.information.quantile(x.clamp(max=1)) for x in u)
        with finite_flow():
            features = flow.trunk(z[rows], t, places, options.perturb)
            probabilities, assignment = policy(reader, features, known, router)
        if first is None and assignment is not None:
            first = torch.zeros_like(canvas.tokens).index_copy(0, rows, assignment)
        share = ((after - t) / (1 - t))[:, None, None]
        z[rows] = z[rows] + share * (probabilities @ codebook - z[rows]).to(z)
        passes[rows] += 1
        return probabilities.clamp_min(1e-30).log()

    where = (source_ids, source_mask, slots)
    out = in_turns(model.config, canvas, log_probabilities, lambda logits: logits, *where, PACE, watcher)
    return out._replace(assignment=None if first is None else first.unflatten(0, (-1, options.samples)))
