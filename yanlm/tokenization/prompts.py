"""Prompts: the ids of a text with masks, with the number of slots to fill for each mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moefm.checks import check_count
from yanlm.data.rows import MASKS
from yanlm.tokenization.collation import Example, Ids
from yanlm.tokenization.masked_text import spaces_at_masks, split_at_masks, with_masks
from yanlm.tokenization.pieces import encode_piece
from yanlm.tokenization.tokenizer import mask_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def encode_with_masks(tokenizer: PreTrainedTokenizerFast, text: str) -> Ids:
    """Ids of ``text`` with the mask's id for every ``<mask>`` or ``<|mask|>`` in it.

    One space before a mask belongs to the masked word, since words carry the space before them. Text between masks has
    the same ids as in a whole text.

    Example:
        >>> from yanlm.tokenization.tokenizer import decode, train_tokenizer
        >>> tokenizer = train_tokenizer(["a b a b"], 258)
        >>> ids = encode_with_masks(tokenizer, "the <mask> sat")
        >>> [i for i, id in enumerate(ids) if id == tokenizer.mask_token_id], decode(tokenizer, ids)
        ([3], 'the sat')
    """
    ids: Ids = []
    for number, (piece, space) in enumerate(zip(split_at_masks(text), [*spaces_at_masks(text), None], strict=True)):
        ids += [mask_id(tokenizer)] if number else []
        ids += encode_piece(tokenizer, piece, before="" if number else None, following=space)
    return ids


def prompt(
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    slots_per_mask: Sequence[int] | None = None,
    append: int = 0,
    *,
    form: str = "slots",
    max_length: int = 2048,
) -> Example:
    """Example to generate from: ``text`` with slots for every ``<mask>`` in it, and ``append`` slots after its end.

    The target is what is known of it, with the mask at the slots.

    Args:
        tokenizer: Has a mask.
        text: Text with ``<mask>`` or ``<|mask|>`` where tokens are wanted. The space before a mask belongs to it, and a
            space at the end of the text belongs to what is appended.
        slots_per_mask: Number of tokens for each of them; 1 if not given.
        append: Number of tokens of the answer or continuation.
        form: ``"slots"``, or ``"separate"`` for the paper's.
        max_length: Most tokens of the text and its slots.

    Raises:
        ValueError: Nothing is to be filled, ``slots_per_mask`` does not fit the text, the result is longer than
            ``max_length``, or the form is ``"separate"`` and there are both masks and ``append``.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> prompt(train_tokenizer(["ab ab"], 258), "a <mask> b", slots_per_mask=[2], append=1).slots
        [1, 2, 5]
    """
    check_count("append", append, 0)
    masks = len(MASKS.findall(text))
    counts = [1] * masks if slots_per_mask is None else list(slots_per_mask)
    if len(counts) != masks:
        raise ValueError(f"slots_per_mask must count slots for {masks} masks in the text, got {counts}")
    for count in counts:
        check_count("slots_per_mask", count)
    if not counts and not append:
        raise ValueError("nothing to fill: put <mask> into the text, or append slots to it")
    if form != "slots" and counts and append:
        raise ValueError('form "separate" fills the masks of a text or appends to it, not both at once')
    ids = encode_with_masks(tokenizer, f"{text.removesuffix(' ')} <mask>" if append else text)
    spans = [*counts, append] if append else counts
    return laid_out(ids, spans, mask_id(tokenizer), form=form, appended=bool(append), max_length=max_length)


def laid_out(
    ids: Sequence[int],
    spans: Sequence[int],
    mask: int,
    *,
    form: str = "slots",
    appended: bool = False,
    max_length: int = 2048,
) -> Example:
    """Example to generate from, of ids with one mask where each span is wanted: of :func:`encode_with_masks`.

    Args:
        ids: Ids of the text.
        spans: Number of slots for each of its masks.
        mask: The mask's id.
        form: ``"slots"``, or ``"separate"`` for the paper's.
        appended: Whether the only mask stands for an answer after the text, which the form ``"separate"`` writes alone.
        max_length: Most tokens of the text and its slots.

    Raises:
        ValueError: A span has no slot, or the result is longer than ``max_length``.

    Example:
        >>> laid_out([5, 9, 6], [2], mask=9).source
        [5, 9, 9, 6]
    """
    if min(spans, default=1) < 1:
        raise ValueError(f"every mask needs at least one token, got {list(spans)}; say how many")
    widths = iter(spans)
    full = [id for id in ids for _ in range(next(widths, 1) if id == mask else 1)]
    if len(full) > max_length:
        fits = (max_length - (len(ids) - len(spans))) // max(len(spans), 1)
        remedy = "shorten it" + f", or ask for fewer tokens: length={fits}" * (fits > 0)
        raise ValueError(f"the text and its slots make {len(full)} tokens, and the model takes {max_length}; {remedy}")
    slots = [place for place, id in enumerate(full) if id == mask]
    if form == "slots":
        return Example(full, full.copy(), slots, list(spans))
    target = [mask] * len(slots) if appended else full
    return Example(list(ids), target, list(range(len(target))), list(spans))


class Prompt:
    """A text, tokenized once, with one mask for each span, or one at its end if it has none.

    Args:
        tokenizer: Has a mask.
        text: With masks in any spelling of :func:`yanlm.tokenization.masked_text.with_masks`, or to be continued.

    Attributes:
        ids: Ids of the text.
        masks: How many of them are masks.
        known: How many are not.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> prompt = Prompt(train_tokenizer(["ab ab"], 258), "x [MASK] y")
        >>> prompt.masks, prompt.example([3]).slots
        (1, [1, 2, 3])
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, text: str) -> None:
        text = with_masks(text)
        self._mask, self._continued = mask_id(tokenizer), MASKS.search(text) is None
        self.ids = encode_with_masks(tokenizer, f"{text.rstrip()} <mask>" if self._continued else text)
        self.masks = self.ids.count(self._mask)
        self.known = len(self.ids) - self.masks

    def example(self, lengths: Sequence[int], *, form: str = "slots", max_length: int = 2048) -> Example:
        """Example with so many slots for each of the masks; see :func:`laid_out`."""
        return laid_out(self.ids, lengths, self._mask, form=form, appended=self._continued, max_length=max_length)
