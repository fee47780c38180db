"""How slots are filled: the options of every generation, checked once."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from moefm import Routing
from moefm.checks import check_choice, check_count, check_not_negative, check_positive
from moefm.routing import get_routing
from moefm.sampling import check_pair
from moefm.solvers import check_solver

ORDERS = ("confidence", "random", "margin")


MOST_NOISE = 1000.0
"""Largest ``z0_scale`` and ``perturb``: much larger numbers overflow."""
COUNTS = ("steps", "candidates", "samples")
SAMPLERS = ("flow", "diffusion")


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    r"""How slots are filled. A model's :class:`yanlm.generation.capabilities.Capabilities` say which options it
    supports.

    The number of slots is not a generation option. It is decided when the source is laid out
    (:meth:`yanlm.writer.Writer.write`).

    Attributes:
        steps: Euler steps of a flow, which are T evaluations of its trunk; turns if it rereads; passes of a masked
            model. Ignored if tokens are written one by one.
        routing: Which expert moves a latent: ``frozen``, ``greedy``, ``resampled``, ``mean``, ``argmax`` or a
            :class:`moefm.Routing`.
        solver: As in :func:`moefm.sample`.
        z0_scale: Standard deviation s of the noise :math:`z_0 \sim N(0, s^2 I)`: below 1 less diverse, 0 is not
            allowed, 1000 is the most.
        reread: Whether a flow reads what it wrote after each step (:func:`yanlm.generation.rereading.reread`).
        temperature: 0 takes the most probable token, more draws from ``softmax(logits / temperature)``.
        order: Which slots come first if they are filled in turns: ``confidence`` takes the most probable tokens,
            ``margin`` those that lead the second most probable by most (Kim et al. 2025, arXiv:2502.06768), ``random``
            any.
        candidates: Results computed for each sample if the encoder is the denoiser. The one is kept whose tokens are
            most probable after half of the noise was added again (:mod:`yanlm.generation.denoising`).
        perturb: Where the encoder is the denoiser: how strongly the first pass follows the noise
            (:func:`yanlm.nn.noise.reading`). With 0 it does not, and gives every slot its most probable token; with 1
            the noise weighs as much as a draw. ``None`` takes the model's own.
        sampler: ``flow``, or ``diffusion``: masked diffusion with a flow that was also trained for it. One step of
            diffusion is one pass.
        device_noise: Whether a flow's noise is drawn on the model's device. This is faster on a GPU, but the results
            then differ from those on a CPU. By default a seed gives the same results everywhere.
        samples: Results for every row.
        seeds: One integer for each row, from which all its random numbers follow; by default they come from the system.

    Raises:
        ValueError: A value is out of range.

    Example:
        >>> GenerationOptions(steps=8, routing="greedy").steps
        8
    """

    steps: int = 3
    routing: str | Routing = "frozen"
    solver: str = "euler"
    z0_scale: float = 1.0
    reread: bool = False
    temperature: float = 0.0
    order: str = "confidence"
    candidates: int = 1
    perturb: float | None = None
    sampler: str = "flow"
    device_noise: bool = False
    samples: int = 1
    seeds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {name: check_count(name, getattr(self, name)) for name in COUNTS}
        checked["z0_scale"] = check_positive("z0_scale", self.z0_scale)
        checked["temperature"] = check_not_negative("temperature", self.temperature)
        checked["perturb"] = None if self.perturb is None else check_not_negative("perturb", self.perturb)
        for name in ("z0_scale", "perturb"):
            if checked[name] is not None and checked[name] > MOST_NOISE:
                raise ValueError(f"{name} must be at most {MOST_NOISE:g}, got {checked[name]:g}")
        checked["seeds"] = None if self.seeds is None else _seeds(self.seeds)
        for name, value in checked.items():  # plain numbers, whatever they were
            object.__setattr__(self, name, value)
        for name in ("reread", "device_noise"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.reread and self.device_noise:
            raise ValueError("device_noise is of a flow that does not reread: leave it out")
        check_choice("order", self.order, ORDERS)
        check_choice("sampler", self.sampler, SAMPLERS)
        check_pair(get_routing(self.routing), check_solver(self.solver))
        if self.reread and self.solver != "euler":
            raise ValueError(f"reread takes one Euler step a turn: leave out solver, got {self.solver!r}")

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn, or the order in which slots are filled."""
        return self.temperature > 0 or self.order == "random"


def _seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    values = seeds.tolist() if isinstance(seeds, Tensor) else list(seeds) if isinstance(seeds, Iterable) else [None]
    if not all(isinstance(seed, numbers.Integral) for seed in values):
        raise ValueError(f"seeds must hold one integer for each row, got {seeds!r}")
    return tuple(map(int, values))


DEFAULTS = GenerationOptions()

FLOW_OPTIONS: dict[str, Any] = {
    field.name: field.default
    for field in fields(GenerationOptions)
    if field.name in ("routing", "solver", "z0_scale", "reread", "candidates", "perturb", "sampler", "device_noise")
}
"""Options of generation that only a flow has, and their defaults."""


def generation_options(
    options: GenerationOptions | None, keywords: Mapping[str, Any], defaults: GenerationOptions = DEFAULTS
) -> GenerationOptions:
    """The options given as an object, as keywords, or as both; keywords override the object.

    Without an object they override ``defaults``, those of the model. A keyword that only a flow takes, such as
    ``reread``, then asks for the flow. Defaults of another sampler than the one asked for do not count.

    Raises:
        ValueError: A keyword is not an option, or a value is out of range.

    Example:
        >>> generation_options(GenerationOptions(steps=8), {"samples": 2})
        GenerationOptions(steps=8, ... samples=2, seeds=None)
        >>> one_pass = GenerationOptions(sampler="diffusion", steps=1)
        >>> [generation_options(None, named, one_pass).steps for named in ({"samples": 2}, {"reread": True})]
        [1, 3]
    """
    known = sorted(field.name for field in fields(GenerationOptions))
    if unknown := [name for name in keywords if name not in known]:
        raise ValueError(f"generate has no option {unknown[0]!r}; its options are {', '.join(known)}")
    if options is not None:
        return replace(options, **keywords)
    flow = any(keywords.get(name, neutral) != neutral for name, neutral in FLOW_OPTIONS.items())
    sampler = keywords.get("sampler", "flow" if flow else defaults.sampler)
    return replace(defaults if sampler == defaults.sampler else DEFAULTS, **{**keywords, "sampler": sampler})
