"""Samples that are all alike, and the options that would make them differ."""

from __future__ import annotations

from collections.abc import Sequence

from yanlm.generation.capabilities import Capabilities
from yanlm.generation.options import GenerationOptions

MORE = 1.5
"""By how much a scale of noise, or a temperature, is raised."""


def are_alike(samples: Sequence[str]) -> bool:
    """Whether there are several samples and all are the same.

    Example:
        >>> are_alike(["a", "a"]), are_alike(["a", "b"]), are_alike(["a"])
        (True, False, False)
    """
    return len(samples) > 1 and len(set(samples)) == 1


def for_variety(can: Capabilities, options: GenerationOptions) -> dict[str, float | bool]:
    """Options that would make samples differ more, by name, in place of the present ones.

    A temperature draws words, so a flow behind its encoder can use it only if it rereads. Only a flow has a scale of
    the noise.

    Example:
        >>> from yanlm.generation.capabilities import CAPABILITIES
        >>> for_variety(CAPABILITIES["flow"], GenerationOptions(samples=4))
        {'z0_scale': 1.5}
        >>> for_variety(CAPABILITIES["mdlm"], GenerationOptions(samples=4))
        {'temperature': 1.0}
    """
    flow = can.noise and options.sampler == "flow"
    if can.temperature or options.reread or not flow:
        return {"temperature": 1.0 if options.temperature < 1 else MORE * options.temperature}
    if options.z0_scale < MORE or not can.reread:
        return {"z0_scale": max(1.0, MORE * options.z0_scale)}
    return {"reread": True, "temperature": 1.0}
