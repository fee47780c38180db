"""Specs of a corpus with their weights: ``stories.txt@0.75``, or ``paper`` for the two data sets it stands for."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from yanlm.data.hub import PAPER
from yanlm.data.rows import DataError

Weighted = tuple[str, float | None]
"""A spec without its weight, and the weight, if it has one."""


def weighted_specs(texts: Sequence[str], weights: Sequence[float] | None = None) -> list[Weighted]:
    """Specs with checked weights: all of them have one, or none has.

    Args:
        texts: As the user wrote them. What exists as a path is one, even with an ``@`` in it.
        weights: Weights of all specs, if they are not written at the end of each.

    Raises:
        DataError: A weight is no positive number, given twice, or given for some specs only.

    Example:
        >>> weighted_specs(["stories.txt@0.75", "builtin:pydoc@1"])
        [('stories.txt', 0.75), ('builtin:pydoc', 1.0)]
    """
    return _expanded([_weighted(text) for text in texts], weights)


def absolute_spec(text: str) -> str:
    """A spec that names the same file from any folder; other specs do not change.

    Example:
        >>> absolute_spec("builtin:rooms@0.5")
        'builtin:rooms@0.5'
    """
    bare = os.path.expanduser(text)
    weight = ""
    if not os.path.exists(bare):
        bare, mark, share = bare.rpartition("@")
        weight = mark + share
    return os.path.abspath(bare) + weight if bare and os.path.exists(bare) else text


def _weighted(text: str) -> Weighted:
    """A spec without its weight, and the weight."""
    bare, mark, weight = text.rpartition("@")
    if not mark or os.path.exists(os.path.expanduser(text)):
        return text, None
    try:
        return bare, float(weight)
    except ValueError:
        raise DataError(f"{text}: '{weight}' is no weight; write SPEC@0.75, or check the path") from None


def _expanded(parsed: list[Weighted], weights: Sequence[float] | None) -> list[Weighted]:
    """Specs with checked weights, and ``paper`` as the two data sets it stands for."""
    given = [weight for _, weight in parsed]
    if weights is not None:
        if any(weight is not None for weight in given):
            raise DataError("weights are given twice, after an @ and as weights; leave one of them out")
        if len(weights) != len(parsed):
            raise DataError(f"weights must be one for each of the {len(parsed)} specs, got {len(weights)}")
        given = list(weights)
    if None in given and any(weight is not None for weight in given):
        bare = next(text for (text, _), weight in zip(parsed, given, strict=True) if weight is None)
        raise DataError(f"{bare}: has no weight but others have; write {bare}@WEIGHT")
    expanded: list[Weighted] = []
    for (text, _), weight in zip(parsed, given, strict=True):
        if weight is not None and not (math.isfinite(weight) and weight > 0):
            raise DataError(f"{text}: its weight must be a positive number, got {weight:g}")
        if text == "paper" and not os.path.exists(text):
            whole = 1.0 if weight is None else weight
            expanded += [(f"hf:{name}:{config}", share * whole) for name, config, share in PAPER]
        else:
            expanded.append((text, weight))
    if any(weight is not None for _, weight in expanded):  # beside the paper's own weights a spec counts as 1
        expanded = [(text, 1.0 if weight is None else weight) for text, weight in expanded]
    return expanded
