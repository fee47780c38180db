"""How time grows with the length of a text: a constant, a linear and a quadratic part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FEWEST = 4
"""Smallest number of lengths to which three numbers are fitted."""


def fitted(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    r"""Fit :math:`a + b L + c L^2` with a, b, c of at least 0 to the seconds of every model and batch.

    Relative errors count, so that short texts weigh as much as long ones.

    Args:
        rows: With ``model``, ``batch``, ``length`` and ``seconds``.

    Returns:
        ``constant``, ``per_token``, ``per_token_squared`` in seconds, and ``largest_error``, relative; nothing for
        models with fewer than four lengths.

    Example:
        >>> rows = [{"model": "m", "batch": 1, "length": n, "seconds": 1 + 0.5 * n} for n in (1, 2, 4, 8)]
        >>> round(fitted(rows)["m, batch = 1"]["per_token"], 3)
        0.5
    """
    from scipy.optimize import nnls

    curves: dict[str, dict[int, float]] = {}
    for row in rows:
        curves.setdefault(f"{row['model']}, batch = {row['batch']}", {})[row["length"]] = row["seconds"]
    result = {}
    for label, curve in curves.items():
        if len(curve) < FEWEST:
            continue
        length, seconds = np.array(list(curve)), np.array(list(curve.values()))
        powers = np.stack([length**0.0, length, length**2.0], 1)
        scale = powers.max(0)
        factors = nnls(powers / scale / seconds[:, None], np.ones(len(seconds)))[0] / scale
        error = float(np.abs(powers @ factors / seconds - 1).max())
        names = ("constant", "per_token", "per_token_squared")
        result[label] = dict(zip(names, map(float, factors), strict=True)) | {"largest_error": error}
    return result
