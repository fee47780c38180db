"""Rereading: slots are filled in turns, the most confident first, and each turn encodes the source again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from moefm import sample
from moefm.routing import get_routing
from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.generation.result import Generation, finite_flow
from yanlm.generation.token_sampling import Canvas
from yanlm.generation.unmasking import Turn, in_turns
from yanlm.generation.watching import Watcher
from yanlm.seeding import EXPERT, row_normal, sample_streams

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork


@torch.no_grad()
def reread(
    model: YanNetwork,
    source_ids: Tensor,
    *,
    slots: Tensor,
    source_mask: Tensor | None = None,
    slot_mask: Tensor | None = None,
    options: GenerationOptions = DEFAULTS,
    watcher: Watcher | None = None,
) -> Generation:
    r"""Fill slots in ``options.steps`` turns of one Euler step from noise to latents.

    In :func:`yanlm.generation.flow_sampling.generate` tokens agree only as far as their latents do. Here, after turn i
    of T, the most confident tokens are written into the source until :math:`\lceil iM/T \rceil` of a row's M slots
    are filled, as in masked diffusion (MaskGIT, Chang et al. 2022). Then the source is encoded again for the remaining
    slots. Noise and frozen experts of a slot stay the same in all turns. One turn is one step of ``generate``; each
    costs an evaluation of the flow and one of the encoder.

    Args:
        model: A trained flow of the slots form.
        source_ids: ``(B, S)`` with the mask at every slot.
        slots: Positions of the slots ``(B, M)``.
        source_mask: ``(B, S)``, True = a token.
        slot_mask: ``(B, M)``, True = a slot.
        options: Turns T (a row never takes more than it has slots), routing, scale of the noise, temperature, samples
            and seeds.
        watcher: Receives every turn.

    Returns:
        Tokens ``(B, samples, M)``, the experts of the first turn, and ``nfe``, the turns that were made.

    Raises:
        ValueError: Shapes do not fit, or the model has no flow or is of the separate form.

    Example:
        >>> from yanlm.config import YanConfig
        >>> from yanlm.modeling.yan import YanModel
        >>> model = YanModel(YanConfig(vocab_size=50, d_model=16, num_heads=2, pad_token_id=48, mask_token_id=49))
        >>> source, slots = torch.tensor([[5, 49, 49, 49, 7]]), torch.tensor([[1, 2, 3]])
        >>> out = model.generate(source, slots=slots, reread=True, steps=2, samples=4, seeds=[0])  # calls this
        >>> out.tokens.shape, out.nfe
        (torch.Size([1, 4, 3]), 2)
    """
    canvas = Canvas(model.config, source_ids, slots, slot_mask, replace(options, reread=True))
    experts = sample_streams(canvas.seeds, options.samples, EXPERT)
    noise = row_normal(canvas.streams, canvas.held, model.config.d_model)
    z0, policy = (options.z0_scale * noise).to(model.device, model.dtype), get_routing(options.routing)
    first: Tensor | None = None

    def latents(turn: Turn) -> Tensor:
        nonlocal first
        states = model.encode(turn.ids, turn.seen)
        cond = model.condition(states, turn.ids, turn.seen, turn.slots, turn.left)
        with finite_flow():
            out = sample(
                model.flow,
                z0[turn.rows],
                1,
                routing=policy,
                cond=cond,
                assignment=first[turn.rows] if first is not None and policy.uses_assignment else None,
                scope=cond.scope,
                mask=turn.left,
                generator=[experts[i] for i in turn.rows.tolist()],
            )
        if first is None and out.assignment is not None:
            first = torch.zeros_like(canvas.tokens).index_copy(0, turn.rows, out.assignment)
        return out.z1

    out = in_turns(model.config, canvas, latents, model.decoder, source_ids, source_mask, slots, watcher=watcher)
    return out._replace(assignment=None if first is None else first.unflatten(0, (-1, options.samples)))
