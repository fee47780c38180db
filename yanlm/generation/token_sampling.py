"""Tokens chosen from logits, for models that write words rather than latents: greedily, or drawn row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from yanlm.generation.choices import likeliest
from yanlm.generation.options import GenerationOptions
from yanlm.generation.result import Generation, check_finite, check_generation
from yanlm.nn.slots import held_slots
from yanlm.seeding import NOISE, sample_streams


class Canvas:
    """Slots to fill with words: checked arguments, and what is written, samples of a row one below the other.

    Args:
        config: The model's.
        source_ids: ``(B, S)``.
        slots: ``(B, M)``.
        slot_mask: ``(B, M)``, True = a slot.
        options: How they are to be filled.
        choices: Known answers ``(C, M)``, one of which is to fill a row's slots.

    Attributes:
        options: As given.
        seeds: One integer a row.
        different: Results computed for each row: one if nothing is drawn and all samples are the same.
        streams: A generator for each of the N = B * ``different`` results.
        held: ``(N, M)``, True = a slot.
        tokens: ``(N, M)``, all padding at first.

    Raises:
        ValueError: The model does not take an option, or shapes do not fit.
    """

    def __init__(
        self,
        config: Any,
        source_ids: Tensor,
        slots: Tensor,
        slot_mask: Tensor | None,
        options: GenerationOptions,
        choices: Tensor | None = None,
    ) -> None:
        self.options, self.seeds = options, check_generation(config, source_ids, slots, slot_mask, options, choices)
        self.different = options.samples if options.draws or options.reread else 1  # rereading begins with noise
        self.streams = sample_streams(self.seeds, self.different, NOISE)
        self.held = held_slots(slots, slot_mask, self.different)
        self.tokens = torch.full(self.held.shape, config.pad_token_id or 0, device=slots.device)

    def result(self, nfe: int, scores: Tensor | None = None) -> Generation:
        """What was written, after ``nfe`` passes of the network."""

        def every(x: Tensor) -> Tensor:
            return x.unflatten(0, (-1, self.different)).repeat(1, self.options.samples // self.different, 1)

        return Generation(every(self.tokens), None, nfe, None if scores is None else every(scores))

    def answered(self, scores: Tensor, choices: Tensor) -> Generation:
        """The answer of the highest score ``(B, C)`` among ``choices`` ``(C, M)``, found in one pass."""
        check_finite(scores)
        self.tokens = likeliest(scores, choices)
        return self.result(1, scores)


COLDEST = 1e-30
"""Lowest temperature that logits are divided by: they do not overflow, and all weight is on the best."""


def special_ids(config: Any) -> list[int]:
    """Ids that are no words: the mask, and the padding unless the model ends its answers with it."""
    ids = [config.mask_token_id] if config.pad_to else [config.mask_token_id, config.pad_token_id]
    return [id for id in ids if id is not None]


def choose(
    logits: Tensor, forbidden: Sequence[int] | Tensor, temperature: float = 0.0, uniforms: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One token for each row of logits ``(n, V)``, and its probability at temperature 1, both ``(n,)``.

    At temperature 0 it is the most probable token; else the one where the cumulative distribution of
    ``softmax(logits / temperature)`` passes the row's number in ``uniforms``.

    Args:
        logits: ``(n, V)``.
        forbidden: Ids that are never chosen, or booleans ``(n, V)`` that say so for each row.
        temperature: At least 0.
        uniforms: Numbers in [0, 1), ``(n,)``, where the temperature is above 0.

    Example:
        >>> choose(torch.tensor([[0.0, 2.0, 9.0]]), [2])[0]
        tensor([1])
        >>> choose(torch.zeros(2, 4), [3], 1.0, torch.tensor([0.2, 0.9]))[0]
        tensor([0, 2])
    """
    scores = _allowed(logits, forbidden)
    probabilities = scores.softmax(-1)
    if not temperature:
        tokens = scores.argmax(-1)
    elif uniforms is None:
        raise ValueError("uniforms must be given where temperature is above 0")
    else:
        reached = (scores / max(temperature, COLDEST)).softmax(-1).double().cumsum(-1)
        wanted = uniforms.to(reached).unsqueeze(-1) * reached[:, -1:]
        tokens = torch.searchsorted(reached, wanted, right=True).squeeze(-1).clamp_max(scores.shape[-1] - 1)
    return tokens, probabilities.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def slot_uniforms(held: Tensor, streams: Sequence[torch.Generator]) -> Tensor:
    """A number in [0, 1) for every slot in ``held`` ``(N, M)``, row after row, as many as there are.

    A row draws for its own slots alone, whatever padding is beside them.
    """
    drawn = [torch.rand(int(n), generator=g) for n, g in zip(held.sum(1).tolist(), streams, strict=True)]
    return torch.cat(drawn).to(held.device)


def margin(logits: Tensor, forbidden: Sequence[int] | Tensor) -> Tensor:
    """By how much the most probable token leads the second, ``(n,)``, of logits ``(n, V)``.

    Args:
        logits: ``(n, V)``.
        forbidden: As in :func:`choose`.

    Example:
        >>> margin(torch.tensor([[0.5, 0.5, 0.0], [0.7, 0.2, 0.1]]).log(), [2])
        tensor([0.0000, 0.5556])
    """
    first, second = word_probabilities(logits, forbidden).topk(2).values.unbind(-1)
    return first - second


def word_probabilities(logits: Tensor, forbidden: Sequence[int] | Tensor) -> Tensor:
    """Probabilities ``(n, V)`` that tokens are chosen by, of logits ``(n, V)``.

    Args:
        logits: ``(n, V)``.
        forbidden: As in :func:`choose`.

    Example:
        >>> word_probabilities(torch.tensor([[0.25, 0.25, 0.5]]).log(), [2])
        tensor([[0.5000, 0.5000, 0.0000]])
    """
    return _allowed(logits, forbidden).softmax(-1)


def _allowed(logits: Tensor, forbidden: Sequence[int] | Tensor) -> Tensor:
    """Logits of tokens that may be written; the others have none."""
    if isinstance(forbidden, Tensor):
        return logits.float().masked_fill(forbidden, -torch.inf)
    scores = logits.float().clone()
    for id in forbidden:  # a list would be copied to the device
        scores[:, id] = -torch.inf
    return scores
