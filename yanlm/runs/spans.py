"""The largest number of tokens behind one mask in a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from yanlm.data.rows import kind_of
from yanlm.evaluation.held_out import mask_seed
from yanlm.tokenization.examples import Builder

LOOKED_AT = 2000
"""Number of rows to look at."""


def longest_span(builder: Builder, rows: Sequence[Mapping[str, Any]]) -> int:
    """Most tokens behind one mask: of the first rows as they are masked, and of all that the masking may draw.

    Args:
        builder: Makes the examples of a stage.
        rows: Rows of the training, or of the validation where it reads a stream; of these some are looked at.

    Example:
        >>> from yanlm.tokenization.masking import Masking
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a small text of a few words"], 300)
        >>> longest_span(Builder(tokenizer, masking=Masking(spans=(1, 5))), [{"text": "a small text"}])
        5
    """
    longest, masking = 0, builder.masking
    for place, row in enumerate(islice(rows, LOOKED_AT)):
        longest = max([longest, *builder.example(row, mask_seed(place)).spans])
        if kind_of(row) == "text":
            longest = max([longest, *masking.spans, masking.tail_max * (masking.tail > 0)])
    return min(longest, builder.max_length)
