"""Which way of writing a trained model uses by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanlm.evaluation.report import SHOWN
from yanlm.generation.capabilities import Capabilities


def best_way(report: Mapping[str, Any], can: Capabilities) -> dict[str, Any]:
    """Sampler and steps for ``generation_config.json``, chosen by the report of a training.

    It is the flow with three steps, unless another way of the report is clearly better: its share of masked tokens
    right lies above the 95% interval of three steps, and at least as many rows are wholly right. The second counts
    where words have to agree: one pass may have more of them right one by one, and fewer texts that hold together.

    Args:
        report: From :func:`yanlm.evaluation.report.evaluate`.
        can: What the model supports.

    Returns:
        ``sampler`` and ``steps``; nothing if there is no choice, or if the report has no rows.

    Example:
        >>> from yanlm.generation.capabilities import DENOISING
        >>> three = {"masked_accuracy": 0.17, "masked_accuracy_ci95": [0.15, 0.19], "exact_match": 0.02}
        >>> best_way({"by_steps": {"3": three}, "one_pass": {"masked_accuracy": 0.27, "exact_match": 0.04}}, DENOISING)
        {'sampler': 'diffusion', 'steps': 1}
    """
    scores = report.get("by_steps", {})
    usual = scores.get(str(SHOWN), {})
    usual_way = {"sampler": "flow", "steps": SHOWN}
    if not can.steps or "masked_accuracy_ci95" not in usual:
        return usual_way if can.steps and usual and report.get("texts") == 1 else {}  # one text compares nothing
    ways = [({"sampler": "flow", "steps": int(steps)}, own) for steps, own in scores.items()]
    if can.denoises and "one_pass" in report:  # the first pass of masked diffusion
        ways.insert(0, ({"sampler": "diffusion", "steps": 1}, report["one_pass"]))
    most = usual["masked_accuracy_ci95"][1]
    better = [
        (way, own) for way, own in ways if own["masked_accuracy"] > most and own["exact_match"] >= usual["exact_match"]
    ]
    return max(better, key=lambda pair: pair[1]["masked_accuracy"], default=(usual_way, usual))[0]
