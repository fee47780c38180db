"""Filling masks token by token, with given lengths or with those that the model decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from moefm.checks import check_count
from yanlm.generation.options import DEFAULTS, GenerationOptions
from yanlm.generation.recorded_decoding import RecordedDecoder, cuda_graph
from yanlm.generation.result import Generation, check_finite
from yanlm.generation.token_sampling import Canvas, choose, special_ids, word_probabilities
from yanlm.generation.watching import Watcher
from yanlm.nn.ar_layout import Prefix, answer
from yanlm.nn.cross_entropy import token_cross_entropy
from yanlm.tokenization.collation import padded

if TYPE_CHECKING:
    from yanlm.nn.ar_network import ARNetwork


class Pen:
    """A model that has read its prefixes and writes one token of every row at a time, keeping keys and values.

    Prefixes are padded on the left, so that the written tokens are aligned; positions count from a row's own start. All
    rows continue until the last is done. What a row gets after its end is never used.

    Args:
        model: The model.
        before: Prefixes of the rows.
        most: Number of tokens to write, if it is known; a GPU then records its steps.
    """

    def __init__(self, model: ARNetwork, before: Sequence[Prefix], most: int | None = None) -> None:
        self.config, self.net = model.config, model.net
        self.has_encoder = model.has_encoder
        prefixes = [prefix.ids for prefix in before]
        self.ids, self.seen = padded(
            prefixes, cast(int, self.config.pad_token_id), model.device, left=not self.has_encoder
        )
        self.encoded: Any = self.net.model.encoder(self.ids, attention_mask=self.seen) if self.has_encoder else None
        self.cache: Any = None
        self.passes = 0
        self.recorded: RecordedDecoder | None = None
        if most and can_record(model):
            self.recorded = RecordedDecoder(model, self.ids, self.seen, self.encoded, most, cuda_graph)

    def write(self, tokens: Tensor) -> Tensor:
        """Append a token to every row ``(B,)``; logits of the one after it ``(B, V)``."""
        own = tokens.unsqueeze(1)
        if self.recorded is not None:
            self.passes += 1
            return self.recorded(tokens)
        if self.has_encoder:
            out = self.net.model(
                encoder_outputs=self.encoded,
                attention_mask=self.seen,
                decoder_input_ids=own,
                past_key_values=self.cache,
                use_cache=True,
            )
        else:
            self.seen = torch.cat([self.seen, torch.ones_like(own, dtype=torch.bool)], 1)
            ids = torch.cat([self.ids, own], 1) if self.cache is None else own
            at = (self.seen.cumsum(1) - 1).clamp_min(0)[:, -ids.shape[1] :]
            out = self.net.transformer(
                ids, attention_mask=self.seen, position_ids=at, past_key_values=self.cache, use_cache=True
            )
        self.cache = out.past_key_values
        self.passes += 1
        return cast(Tensor, self.net.lm_head(out.last_hidden_state[:, -1]))


def can_record(model: ARNetwork) -> bool:
    """Whether a GPU may record the steps of a model: the model is complete on it, and is not training."""
    return model.device.type == "cuda" and not model.training and not hasattr(model, "hf_device_map")


@torch.no_grad()
def write(
    model: ARNetwork,
    source_ids: Tensor,
    *,
    slots: Tensor,
    source_mask: Tensor | None = None,
    slot_mask: Tensor | None = None,
    options: GenerationOptions = DEFAULTS,
    choices: Tensor | None = None,
    watcher: Watcher | None = None,
) -> Generation:
    """Fill every span with exactly as many tokens as it has slots; the masks between spans are set, not written.

    Args:
        model: The model.
        source_ids: ``(B, S)`` with the mask at every slot.
        slots: Ascending positions of the slots ``(B, M)``.
        source_mask: ``(B, S)``, True = a token.
        slot_mask: ``(B, M)``, True = a slot.
        options: Temperature, samples and seeds; the steps are ignored, because every token takes a pass.
        choices: Known answers ``(C, M)``; one pass over all of them finds the most probable.
        watcher: Receives every token.

    Returns:
        Tokens ``(B, samples, M)``, no assignment, and ``nfe``, the passes that were made.

    Raises:
        ValueError: Shapes do not fit, or an option is the flow's.
    """
    config = model.config
    canvas = Canvas(config, source_ids, slots, slot_mask, options, choices)
    if choices is not None:
        scores = _answer_scores(model, model.read(source_ids, slots, source_mask, slot_mask), choices)
        return canvas.answered(scores, choices)
    before = [
        prefix for prefix in model.read(source_ids, slots, source_mask, slot_mask) for _ in range(canvas.different)
    ]
    plans, _ = padded([_plan(prefix.spans) for prefix in before], 0, model.device)
    pen = Pen(model, before, plans.shape[1])
    last = torch.full((len(before),), cast(int, config.mask_token_id), device=model.device)
    tokens: list[Tensor] = []
    probabilities: list[Tensor] = []
    for is_slot, done in zip(plans.bool().T, plans.cumsum(1).T, strict=True) if plans.any() else ():
        uniforms = _uniforms(canvas.streams, is_slot) if options.temperature else None
        logits = pen.write(last)
        chosen, probability = choose(logits, special_ids(config), options.temperature, uniforms)
        if watcher is not None and is_slot.any():
            watcher.read(word_probabilities(logits[is_slot], special_ids(config)), chosen[is_slot])
            left = done.unsqueeze(1) - torch.arange(canvas.held.shape[1], device=model.device)  # 1 at the newest slot
            watcher.end((left == 1) & is_slot.unsqueeze(1), settled=left > 0)
        last = torch.where(is_slot, chosen, cast(int, config.mask_token_id))
        tokens.append(chosen)
        probabilities.append(probability)
    if tokens:
        check_finite(torch.stack(probabilities, 1), plans.bool())  # once, since reading it waits for the device
        canvas.tokens[canvas.held] = torch.stack(tokens, 1)[plans.bool()]  # both row after row, slot after slot
    return canvas.result(pen.passes)


def _answer_scores(model: ARNetwork, before: Sequence[Prefix], choices: Tensor) -> Tensor:
    """Log-probability of each of the answers ``(C, M)`` after each prefix, its end included; ``(B, C)``."""
    mask, end = cast(int, model.config.mask_token_id), cast(int, model.config.pad_token_id)
    repeated = [prefix for prefix in before for _ in range(len(choices))]
    answers = [answer(ids, prefix.spans, mask, end) for prefix in before for ids in choices.tolist()]
    written = torch.tensor([id for ids in answers for id in ids], device=model.device)
    losses = token_cross_entropy(model.states(repeated, answers), model.net.lm_head.weight, None, written)
    rows = torch.stack([part.sum() for part in losses.split([len(ids) for ids in answers])])
    return -rows.view(len(before), len(choices))


def _plan(spans: Sequence[int]) -> list[int]:
    """What is written, 1 for a slot and 0 for the mask between two spans."""
    return [here for number, span in enumerate(spans) for here in [*([0] if number else []), *[1] * span]]


def _uniforms(streams: Sequence[torch.Generator], where: Tensor) -> Tensor:
    """A number in [0, 1) from the stream of every row in ``where``; zeros for the others, which draw nothing."""
    drawn = [
        float(torch.rand((), generator=g)) if here else 0.0 for g, here in zip(streams, where.tolist(), strict=True)
    ]
    return torch.tensor(drawn, device=where.device)


@torch.no_grad()
def write_free(
    model: ARNetwork,
    source_ids: Tensor,
    *,
    slots: Tensor,
    source_mask: Tensor | None = None,
    slot_mask: Tensor | None = None,
    max_new: int = 32,
) -> list[list[list[int]]]:
    """Fill every span with as many tokens as the model wants, at least one, greedily.

    Args:
        model: The model.
        source_ids: ``(B, S)``, with one mask or more for every span.
        slots: Ascending positions of the slots ``(B, M)``; adjacent ones are one span.
        source_mask: ``(B, S)``, True = a token.
        slot_mask: ``(B, M)``, True = a slot.
        max_new: Most tokens of a span; a row's filled text never gets longer than ``max_length``.

    Returns:
        For every row the tokens of each of its spans.

    Raises:
        ValueError: ``max_new`` is below 1, a source is longer than the model takes, or numbers are not finite.
    """
    check_count("max_new", max_new)
    before = model.read(source_ids, slots, source_mask, slot_mask)
    rows = [_Row(prefix, model.config.max_length, max_new) for prefix in before]
    mask, end = cast(int, model.config.mask_token_id), cast(int, model.config.pad_token_id)
    pen = Pen(model, before)
    last = torch.full((len(before),), mask, device=model.device)
    while not all(row.done for row in rows):
        logits = pen.write(last)
        forbidden = torch.zeros(logits.shape, dtype=torch.bool)
        forbidden[:, [mask, end]] = True
        closers = [end if row.is_last else mask for row in rows]
        for number, row in enumerate(rows):
            if row.is_full:
                forbidden[number] = True
            if row.current:
                forbidden[number, closers[number]] = False
        last, probabilities = choose(logits, forbidden.to(logits.device))
        check_finite(probabilities, torch.tensor([not row.done for row in rows], device=logits.device))
        for row, token, closer in zip(rows, last.tolist(), closers, strict=True):
            row.take(token, closer)
    return [row.spans for row in rows]


class _Row:
    """What a row has written so far."""

    def __init__(self, prefix: Prefix, max_length: int, max_new: int) -> None:
        self.wanted, self.max_new = len(prefix.spans), max_new
        self.room = max_length - (len(prefix.ids) - self.wanted)
        self.spans: list[list[int]] = [[]] if self.wanted else []
        self.done = not self.wanted

    @property
    def current(self) -> list[int]:
        return self.spans[-1] if self.spans else []

    @property
    def is_last(self) -> bool:
        return len(self.spans) >= self.wanted

    @property
    def is_full(self) -> bool:
        """Whether the span has to end: it is long enough, or the spans to come need the room."""
        left = self.room - sum(map(len, self.spans)) - (self.wanted - len(self.spans))
        return bool(self.current) and (len(self.current) >= self.max_new or left <= 0)

    def take(self, token: int, closer: int) -> None:
        """One more token, or the end of a span."""
        if self.done:
            return
        if token != closer:
            self.current.append(token)
        elif self.is_last:
            self.done = True
        else:
            self.spans.append([])
