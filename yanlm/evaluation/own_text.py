"""A row's own text with masks, for tokenizers that do not give a text back as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yanlm.data.rows import KINDS, MASKS, kind_of
from yanlm.tokenization.collation import Ids
from yanlm.tokenization.tokenizer import encode_with_places

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def own_text(
    tokenizer: PreTrainedTokenizerFast, row: Mapping[str, Any], target: Ids, hidden: Sequence[int], spans: Sequence[int]
) -> tuple[str, str] | None:
    """The text of a row, and the same with a mask for each span; the answer of a row that has one goes behind it.

    Args:
        tokenizer: That the example was made with.
        row: A row of any kind.
        target: Ids of the example, a window of the text where that is longer.
        hidden: Masked positions of the target.
        spans: How many of them each mask stands for.

    Returns:
        ``None`` if the characters of the spans cannot be found: the text itself holds a mask, or is not the target's.

    Example:
        >>> from yanlm.tokenization.tokenizer import encode, train_tokenizer
        >>> tokenizer = train_tokenizer(["ab ab"], 258)
        >>> own_text(tokenizer, {"text": "a b"}, encode(tokenizer, "a b"), hidden=[1, 2], spans=[2])
        ('a b', 'a <mask>')
    """
    if (kind := kind_of(row)) != "text":
        answer = row[KINDS[kind][-1]]
        known = " ".join(part for name in KINDS[kind][:-1] if (part := row[name].strip()))
        masked = known if MASKS.search(known) else f"{known} <mask>"
        answers = iter([answer] if isinstance(answer, str) else answer)
        return MASKS.sub(lambda _: next(answers, "").strip(), masked), masked
    text = row["text"]
    ids, places = encode_with_places(tokenizer, text)
    starts = (i for i in range(len(ids) - len(target) + 1) if ids[i : i + len(target)] == target)
    if (start := next(starts, None)) is None or MASKS.search(text):
        return None
    places = places[start : start + len(target)]
    begin, end = places[0][0], places[-1][1]
    pieces, at, first = [], begin, 0
    for span in spans:
        here, there = places[hidden[first]][0], places[hidden[first + span - 1]][1]
        space = " " if text[here : here + 1] == " " or text[at:here].endswith(" ") else ""
        pieces += [text[at:here].removesuffix(" "), f"{space}<mask>"]
        at, first = there, first + span
    return text[begin:end], "".join([*pieces, text[at:end]])
