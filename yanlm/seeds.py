"""Several evaluations of one thing, one a seed, as median and range."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Number = int | float


def over_seeds(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median of every number in ``by_steps`` and ``one_pass`` over the reports, with ``NAME_range`` beside it.

    What does not depend on the seed (task, data, baselines that need no training) is taken from the first.

    Example:
        >>> one = {"task": "qa", "by_steps": {"1": {"f1": 0.5}}}
        >>> two = {"task": "qa", "by_steps": {"1": {"f1": 0.7}}}
        >>> over_seeds([one, two, two])["by_steps"]["1"]
        {'f1': 0.7, 'f1_range': [0.5, 0.7]}
    """
    first = reports[0]
    found = {name: value for name, value in first.items() if name not in ("by_steps", "one_pass")}
    found["runs"] = len(reports)
    steps = [step for step in first["by_steps"] if all(step in one["by_steps"] for one in reports)]
    found["by_steps"] = {step: spread([one["by_steps"][step] for one in reports]) for step in steps}
    if all("one_pass" in one for one in reports):
        found["one_pass"] = spread([one["one_pass"] for one in reports])
    return found


def spread(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median and range of every number that all of several scores have.

    Example:
        >>> spread([{"em": 1.0, "em_ci95": [0.9, 1.0]}])
        {'em': 1.0, 'em_range': [1.0, 1.0]}
    """
    found: dict[str, Any] = {}
    for name, value in scores[0].items():
        if isinstance(value, Number) and not isinstance(value, bool) and all(name in one for one in scores):
            values = [float(one[name]) for one in scores]
            found[name] = statistics.median(values)
            found[f"{name}_range"] = [min(values), max(values)]
    return found
