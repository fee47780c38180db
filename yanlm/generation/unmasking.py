"""Baselines of the same blocks without a flow: a masked language model, and masked diffusion that unmasks in steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from yanlm.generation.choices import answer_scores
from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.generation.result import Generation, check_finite
from yanlm.generation.token_sampling import Canvas, choose, margin, slot_uniforms, special_ids, word_probabilities
from yanlm.generation.watching import Watcher
from yanlm.nn.slots import gather_tokens, shown

if TYPE_CHECKING:
    from yanlm.nn.network import YanNetwork

_CHUNK = 2048  # slots whose logits are held at once


@torch.no_grad()
def unmask(
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
    """Fill slots in ``options.steps`` passes of the encoder, by default starting with the most confident tokens.

    After pass i of T, ``ceil(i M / T)`` of a row's M slots are filled (mask-predict, MaskGIT; LLaDA's low-confidence
    remasking), and what is filled stays. One pass fills all slots at once; a row never takes more than it has slots.
    With ``order="random"`` and ``temperature=1`` this is masked diffusion as in theory.

    Args:
        model: A model whose method is ``mlm`` or ``mdlm``.
        source_ids: ``(B, S)`` with the mask at every slot.
        slots: Positions of the slots ``(B, M)``.
        source_mask: ``(B, S)``, True = a token.
        slot_mask: ``(B, M)``, True = a slot.
        options: Passes T, order, temperature, samples and seeds.
        choices: Known answers ``(C, M)``; one pass finds the most probable one, whatever the steps are.
        watcher: Receives every pass.

    Returns:
        Tokens ``(B, samples, M)``, no assignment, and ``nfe``, the passes that were made.

    Raises:
        ValueError: Shapes do not fit, or an option is the flow's.
    """
    canvas = Canvas(model.config, source_ids, slots, slot_mask, options, choices)
    if choices is not None:
        logits = model.decoder(gather_tokens(model.encode(source_ids, source_mask), slots))
        return canvas.answered(answer_scores(logits, choices), choices)

    def latents(turn: Turn) -> Tensor:
        return gather_tokens(model.encode(turn.ids, turn.seen), turn.slots)

    return in_turns(model.config, canvas, latents, model.decoder, source_ids, source_mask, slots, watcher=watcher)


class Turn(NamedTuple):
    """What a turn has to fill.

    Attributes:
        rows: Numbers of the canvas's rows that are not full, ``(b,)``.
        ids: Their tokens ``(b, S)``, with what earlier turns wrote.
        seen: Which of them are tokens ``(b, S)``.
        slots: Positions of all slots ``(b, M)``.
        left: Which slots are empty ``(b, M)``.
    """

    rows: Tensor
    ids: Tensor
    seen: Tensor
    slots: Tensor
    left: Tensor


def in_turns(
    config: Any,
    canvas: Canvas,
    latents: Callable[[Turn], Tensor],
    read: Callable[[Tensor], Tensor],
    source_ids: Tensor,
    source_mask: Tensor | None,
    slots: Tensor,
    pace: float = 1.0,
    watcher: Watcher | None = None,
) -> Generation:
    """Fill the canvas in turns, as many as its options say; each reads what the ones before it wrote.

    In every turn the latents of all empty slots are read, and tokens are written, the most probable first unless the
    options have another order, until ``ceil(M (i / T)^pace)`` of a row's M slots are filled after turn i of T.

    Args:
        config: The model's.
        canvas: N rows, B times its different results.
        latents: Latents ``(b, M, d)`` of the slots of the b rows that are not full.
        read: Logits ``(n, V)`` of latents ``(n, d)``.
        source_ids: ``(B, S)`` with the mask at every slot; not written to.
        source_mask: ``(B, S)``, True = a token.
        slots: ``(B, M)``.
        pace: At 1 every turn fills as many slots; above it later ones fill more.
        watcher: Is shown every turn.

    Returns:
        What is on the canvas, and the turns that were made.
    """
    held, tokens = canvas.held, canvas.tokens
    seen = torch.ones_like(source_ids, dtype=torch.bool) if source_mask is None else source_mask
    ids, seen, slots = (x.repeat_interleave(canvas.different, 0) for x in (source_ids, seen, slots))
    counts = held.sum(1)
    turns = counts.clamp_max(canvas.options.steps)
    left, nfe = held.clone(), int(turns.max()) if len(turns) else 0
    for step in range(1, nfe + 1):
        rows = (step <= turns).nonzero().squeeze(1)
        states = latents(Turn(rows, ids[rows], seen[rows], slots[rows], left[rows]))
        streams = [canvas.streams[i] for i in rows.tolist()]
        predicted, priority = _predict(config, read, states, left[rows], canvas.options, streams, watcher)
        more = filled_after(step, counts[rows], turns[rows], pace) - (held & ~left)[rows].sum(1)
        rank = priority.masked_fill(~left[rows], -1.0).argsort(dim=1, descending=True, stable=True).argsort(1)
        fills = torch.zeros_like(left)
        fills[rows] = (rank < more.unsqueeze(1)) & left[rows]
        tokens[fills] = predicted[fills[rows]]
        if watcher is not None:
            read_now = torch.zeros_like(left).index_copy(0, rows, left[rows])
            watcher.end(read_now, settled=held & (fills | ~left))
        left &= ~fills
        ids = shown(ids, slots, tokens, fills)
    return canvas.result(nfe)


def filled_after(step: int, counts: Tensor, turns: Tensor, pace: float = 1.0) -> Tensor:
    """Slots that are filled after a turn, ``ceil(M (i / T)^pace)``, of rows with M slots and T turns ``(b,)``.

    Example:
        >>> filled_after(1, torch.tensor([8, 8]), torch.tensor([2, 4]), pace=1.5)
        tensor([3, 1])
    """
    if pace == 1:
        return -(-step * counts // turns)
    # Single precision, since the GPU of a Mac has no other; rounding errors above a whole number are removed.
    return (counts * (step / turns) ** pace * (1 - 1e-6)).ceil().long()


def _predict(
    config: Any,
    read: Callable[[Tensor], Tensor],
    states: Tensor,
    left: Tensor,
    options: GenerationOptions,
    streams: Sequence[torch.Generator],
    watcher: Watcher | None,
) -> tuple[Tensor, Tensor]:
    """A token for every empty slot ``left`` ``(b, M)``, read off its state ``(b, M, d)``, and its priority.

    Both are ``(b, M)``, and zero where a slot is not empty; what has the highest priority is written first.
    """
    uniforms = slot_uniforms(left, streams) if options.temperature else None
    flat, forbidden = states[left], special_ids(config)
    chosen, priorities = [], []
    for at, part in zip(range(0, len(flat), _CHUNK), flat.split(_CHUNK), strict=False):
        logits = read(part)
        own = None if uniforms is None else uniforms[at : at + _CHUNK]
        picked, probability = choose(logits, forbidden, options.temperature, own)
        check_finite(probability)
        if watcher is not None:
            watcher.read(word_probabilities(logits, forbidden), picked)
        chosen.append(picked)
        priorities.append(margin(logits, forbidden) if options.order == "margin" else probability)
    tokens, priority = left.new_zeros(left.shape, dtype=torch.long), states.new_zeros(left.shape, dtype=torch.float32)
    tokens[left] = torch.cat(chosen)
    # drawn after the tokens, so that these are the same in one turn whatever the order is
    priority[left] = slot_uniforms(left, streams) if options.order == "random" else torch.cat(priorities)
    return tokens, priority
