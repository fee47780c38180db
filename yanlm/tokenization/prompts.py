"""Text with masks in it: what a model is asked to fill, and the text with the masks filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moefm.checks import check_count
from yanlm.data.rows import MASKS
from yanlm.tokenization.collation import Example
from yanlm.tokenization.tokenizer import decode, encode, mask_id, pad_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def split_at_masks(text: str) -> list[str]:
    """Parts of ``text`` between its masks, each but the last without one space before the mask.

    Example:
        >>> split_at_masks(" the <mask> sat.")
        [' the', ' sat.']
    """
    *before, last = MASKS.split(text)
    return [*(part.removesuffix(" ") for part in before), last]


def encode_with_masks(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Ids of ``text`` with the mask's id for every ``<mask>`` or ``<|mask|>`` in it.

    One space before a mask belongs to the masked word, since words carry the space before them.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a b a b"], 258)
        >>> ids = encode_with_masks(tokenizer, "the <mask> sat")
        >>> [i for i, id in enumerate(ids) if id == tokenizer.mask_token_id], decode(tokenizer, ids)
        ([3], 'the sat')
    """
    first, *others = (encode(tokenizer, part) if part else [] for part in split_at_masks(text))
    return [*first, *(id for part in others for id in (mask_id(tokenizer), *part))]


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
        text: With ``<mask>`` or ``<|mask|>`` where tokens are wanted; the space before one belongs to it, as the space
            at the end of the text belongs to what is appended.
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
    masks, mask = len(MASKS.findall(text)), mask_id(tokenizer)
    counts = [1] * masks if slots_per_mask is None else list(slots_per_mask)
    if len(counts) != masks:
        raise ValueError(f"slots_per_mask must count slots for {masks} masks in the text, got {counts}")
    for count in counts:
        check_count("slots_per_mask", count)
    if not counts and not append:
        raise ValueError("nothing to fill: put <mask> into the text, or append slots to it")
    spans = [*counts, append] if append else counts
    widths = iter(spans)
    short = encode_with_masks(tokenizer, f"{text}<mask>" if append else text)
    full = [id for id in short for _ in range(next(widths, 1) if id == mask else 1)]
    if len(full) > max_length:
        raise ValueError(
            f"the text and its slots make {len(full)} tokens, and the model takes {max_length}; shorten it"
        )
    if form == "slots":
        return Example(full, full.copy(), [i for i, id in enumerate(full) if id == mask], spans)
    if counts and append:
        raise ValueError('form "separate" fills the masks of a text or appends to it, not both at once')
    target = [mask] * append if append else full
    return Example(short, target, list(range(len(target))), spans)


def fill(
    tokenizer: PreTrainedTokenizerFast, source_ids: Sequence[int], slots: Sequence[int], tokens: Sequence[int]
) -> str:
    """Text of a source with ``tokens`` in its slots; known tokens stay exactly as they were.

    Padding ends a span: what is generated after it in the same run of slots is dropped.

    Raises:
        ValueError: There is not one token for each slot, or a slot is outside the source.

    Example:
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["ab ab"], 258)
        >>> fill(tokenizer, [*encode(tokenizer, "x y"), tokenizer.mask_token_id], [3], encode(tokenizer, "!"))
        'x y!'
    """
    if len(tokens) != len(slots):
        raise ValueError(f"tokens must hold one for each of the {len(slots)} slots, got {len(tokens)}")
    ids, pad = list(source_ids), pad_id(tokenizer)
    ended_at = None
    for slot, token in zip(slots, tokens, strict=True):
        if not 0 <= slot < len(ids):
            raise ValueError(f"slots must be positions of the source, 0 to {len(ids) - 1}, got {slot}")
        if token == pad or ended_at == slot - 1:
            token, ended_at = pad, slot
        ids[slot] = token
    return decode(tokenizer, ids)
