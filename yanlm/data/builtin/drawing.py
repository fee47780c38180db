"""Splits of made-up rows: what a row is made from belongs to one of them by its hash."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]

HELD = {"validation": 0.05, "test": 0.05}
"""The share of all rows there could be that these splits take."""


def check_drawn(split: str, n: int) -> None:
    """Checks which rows are asked for.

    Raises:
        ValueError: The split is unknown or n is negative.
    """
    if split not in ("train", *HELD):
        raise ValueError(f"split must be 'train', 'validation' or 'test', got {split!r}")
    if n < 0:
        raise ValueError(f"n must be 0 or more, got {n}")


def split_by_hash(content: str) -> Split:
    """The split that a text belongs to, so that no text belongs to two.

    Example:
        >>> split_by_hash("a b c d e")
        'train'
    """
    digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
    return split_at(int.from_bytes(digest, "big") / 2**64)


def split_at(point: float) -> Split:
    """The split at a point between 0 and 1, each as wide as its share.

    Example:
        >>> split_at(0.01), split_at(0.99)
        ('test', 'train')
    """
    if point < HELD["test"]:
        return "test"
    return "validation" if point < HELD["test"] + HELD["validation"] else "train"
