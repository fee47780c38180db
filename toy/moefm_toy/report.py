"""Turn runs into the JSON document: numbers of one seed, or medians and ranges over several."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from moefm_toy.experiment import SeedRun
from moefm_toy.settings import Settings, settings_dict


def combine(values: Sequence[Any], how: Callable[[Sequence[float]], Any]) -> Any:
    """Apply ``how`` to every number of equally shaped documents.

    Example:
        >>> combine([{"w2": [1.0, 5.0]}, {"w2": [3.0, 6.0]}], statistics.median)
        {'w2': [2.0, 5.5]}
    """
    first = values[0]
    if isinstance(first, dict):
        return {key: combine([v[key] for v in values], how) for key in first}
    if isinstance(first, list):
        return [combine(list(entries), how) for entries in zip(*values, strict=True)]
    return how(values)


def _median(values: Sequence[float]) -> float | int:
    middle = statistics.median(values)
    return int(middle) if all(isinstance(v, int) for v in values) and middle == int(middle) else middle


def ratios(methods: dict[str, Any]) -> dict[str, Any]:
    """Excess W2 and straightness of each mixture divided by VFM's; ``None`` where VFM's is 0.

    Medians of several seeds are divided as medians.
    """
    if "vfm" not in methods:
        return {}
    base = methods["vfm"]

    def over(value: float, reference: float) -> float | None:
        return value / reference if reference > 0 else None

    return {
        name: {
            "excess_w2": {
                steps: over(row["excess_w2"], base["by_steps"][steps]["excess_w2"])
                for steps, row in method["by_steps"].items()
            },
            "straightness": over(method["straightness"], base["straightness"]),
        }
        for name, method in methods.items()
        if name != "vfm"
    }


def document(name: str, settings: Settings, runs: Sequence[SeedRun]) -> dict[str, Any]:
    """The content of ``metrics.json``.

    With several seeds every number is the median over seeds, ``range`` holds ``[smallest, largest]`` in the same form
    and ``runs`` the numbers of each seed.
    """
    numbers = [{"noise_floor_w2": run.floor, "methods": {m: r.metrics for m, r in run.methods.items()}} for run in runs]
    middle = combine(numbers, _median)
    result = {"dataset": name, "seed": runs[0].seed, "points": len(runs[0].data), **middle}
    result["ratio_to_vfm"] = ratios(middle["methods"])
    result["settings"] = settings_dict(settings)
    if len(runs) > 1:
        result["seeds"] = [run.seed for run in runs]
        result["range"] = combine(numbers, lambda values: [min(values), max(values)])
        result["runs"] = [{"seed": run.seed, **own} for run, own in zip(runs, numbers, strict=True)]
    return result


def winners(result: dict[str, Any]) -> dict[str, str]:
    """The method with the smallest W2 at each step count."""
    methods = result["methods"]
    steps = next(iter(methods.values()))["by_steps"]
    return {t: min(methods, key=lambda m: methods[m]["by_steps"][t]["w2"]) for t in steps}
