"""What the study of agreement trains, as one table: sizes and time by task, and how the methods differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from yanlm.generation.capabilities import CAPABILITIES, DENOISING, Capabilities
from yanlm.runs.baseline import encoder_denoises
from yanlm.studies.tools.study import Json
from yanlm.studies.tools.training import QUIET
from yanlm.studies.tools.variants import laid_over

SMALL: Json = {"d_model": 64, "num_heads": 4, "encoder_layers": 4, "conv": 0, "denoiser": "encoder", "num_experts": 1}
FULL: Json = {"plain": 0.0, "reveal": 0.3, "length": 0.0}
"""Kinds of rows for a flow that only writes by itself; some show words, since it reads what it wrote."""
RECIPE: Json = {"batch_size": 64, "lr": 2e-3}
SHARED: Json = {**QUIET, "eval_rows": 20, "model": SMALL, "recipe1": RECIPE}
"""Options of all trainings (:func:`yanlm.runs.settings.resolve`), unless the task has others."""


@dataclass(frozen=True)
class TaskPlan:
    """How the methods are trained for a task.

    Attributes:
        minutes: Default training time of each method.
        data: Specs of the data, where ``{spec}`` is the puzzle, ``{settings}`` the part behind its name.
        shared: Options of all trainings, over :data:`SHARED`.
        alike: Options of methods without experts, over those, so that they have as many parameters as the best flow.
        own: Options of all flows.
        flow: Options of the best flow, over those.
        generate: Options with which flows write.
    """

    minutes: float
    data: tuple[str, ...] = ("{spec}",)
    shared: Json = field(default_factory=dict)
    flow: Json = field(default_factory=dict)
    generate: Json = field(default_factory=dict)
    own: Json = field(default_factory=dict)
    alike: Json = field(default_factory=dict)


ALONE: Json = {"denoising": {"plain": 0.0, "reveal": 0.0}, "model": {"latent_dim": 32, "perturb": 1.0}}
LISTS: Json = {"denoising": {"reveal": 0.6}, "model": {"perturb": 1.0}}
GROUPS: Json = {"model": {"num_experts": 16, "scope": "span"}}
REREAD: Json = {"reread": True}
MUON: Json = {"recipe1": {"optimizer": "muon"}}  # flows that read what they wrote need half the steps with it
REFLOWED: Json = {"denoising": {"reflow": 0.75, "teacher_steps": 8}}

PLANS: dict[str, TaskPlan] = {
    "codes": TaskPlan(
        1.7,
        shared={"model": {"encoder_layers": 3}, "recipe1": {"lr": 3e-3}},
        flow=GROUPS,
        own=ALONE,
        alike={"model": {"d_model": 104}},
    ),
    "statements": TaskPlan(
        10.0,
        ("builtin:lookups{settings}@0.5", "{spec}@0.5"),  # who is where is learned from words that are given
        shared={
            "model": {"conv": 9, "d_model": 128},
            "recipe1": {"batch_size": 32, "lr": 1.5e-3, "optimizer": "muon"},
        },
        own={"denoising": {"reveal": 0.5}, "model": {"perturb": 1.0}},
        generate=REREAD,
    ),
    "shuffle": TaskPlan(4.0, shared=MUON, own=LISTS, generate=REREAD),
    "latin": TaskPlan(4.0, shared=MUON, generate=REREAD),
    "sudoku": TaskPlan(4.0, shared=MUON, generate=REREAD),
    "sums": TaskPlan(4.0, generate=REREAD),
}
"""By the name of the puzzle."""


@dataclass(frozen=True)
class Method:
    """One line of the tables.

    Attributes:
        training: The method whose trained model it writes with, if that is another one.
        options: Options of its training.
        generate: Options of generation.
        is_flow: Whether it is trained as the task's flow, with ``options`` over that.
        asked: Whether it runs only if asked for.
        teacher: The method whose model its training starts from, for as long again.
    """

    training: str | None = None
    options: Json = field(default_factory=dict)
    generate: Json = field(default_factory=dict)
    is_flow: bool = False
    asked: bool = False
    teacher: str | None = None

    @property
    def steps(self) -> int:
        """The only number of steps that it is meant for; 0 for any."""
        return int(self.options.get("denoising", {}).get("student_steps", 0))


def _distilled(steps: int) -> Method:
    options = {"denoising": {"student_steps": steps}}
    return Method(options=options, generate={"steps": steps}, is_flow=True, asked=True, teacher="flow")


def _drawn(**options: str) -> Json:
    return {"temperature": 1.0, **options}


METHODS: dict[str, Method] = {
    "one pass": Method(options={"baseline": "mlm"}, generate=_drawn()),
    "masked diffusion": Method(options={"baseline": "mdlm"}, generate=_drawn(order="random")),
    "masked diffusion, confidence": Method("masked diffusion", generate=_drawn(order="confidence")),
    "masked diffusion, margin": Method("masked diffusion", generate=_drawn(order="margin")),
    "autoregressive": Method(options={"baseline": "gpt2"}, generate=_drawn()),
    "uniform flow": Method(options={"denoising": {"times": "uniform"}}),
    "flow": Method(is_flow=True),
    "flow, K = 1": Method(options={"model": {"num_experts": 1}}, is_flow=True, asked=True),
    "flow, one expert a token": Method(options={"model": {"scope": "token"}}, is_flow=True, asked=True),
    "flow, one expert a text": Method(options={"model": {"scope": "sequence"}}, is_flow=True, asked=True),
    "flow, lambda": Method(options={"model": {"experts": "continuum"}}, is_flow=True, asked=True),
    "flow, re-noised": Method("flow", generate={"candidates": 4}, asked=True),
    "flow, reflowed": Method(options=REFLOWED, is_flow=True, asked=True, teacher="flow"),
    "flow, reflowed twice": Method(options=REFLOWED, is_flow=True, asked=True, teacher="flow, reflowed"),
    "flow, distilled": _distilled(1),
    "flow, distilled, T = 2": _distilled(2),
    "flow, distilled, T = 4": _distilled(4),
}
"""By name. Tokens are drawn at temperature 1, since the most probable ones would not vary."""


def chosen(only: Sequence[str]) -> list[str]:
    """Names of the methods to run, in the table's order; without ``only`` those that need not be asked for.

    Raises:
        ValueError: A name is unknown.

    Example:
        >>> chosen(["flow", "one pass"])
        ['one pass', 'flow']
    """
    if unknown := [name for name in only if name not in METHODS]:
        raise ValueError(f"no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    return [name for name, method in METHODS.items() if (name in only if only else not method.asked)]


def plan_of(task: str) -> TaskPlan:
    """How the methods are trained for the puzzle of a name."""
    return PLANS.get(task, TaskPlan(4.0))


def can_of(name: str) -> Capabilities:
    """What the model of a method supports, before it exists.

    Example:
        >>> can_of("masked diffusion, margin").method, can_of("flow, K = 1").denoises
        ('mdlm', True)
    """
    baseline = METHODS[trained_by(name)].options.get("baseline")
    return DENOISING if baseline is None else CAPABILITIES[baseline]


def trained_by(name: str) -> str:
    """The method whose training a method writes with.

    Example:
        >>> trained_by("masked diffusion, margin"), trained_by("flow")
        ('masked diffusion', 'flow')
    """
    return METHODS[name].training or name


def data_of(plan: TaskPlan, spec: str) -> list[str]:
    """Specs of the data that the methods learn from.

    Example:
        >>> data_of(PLANS["statements"], "builtin:statements:slots=6")
        ['builtin:lookups:slots=6@0.5', 'builtin:statements:slots=6@0.5']
    """
    settings = "".join(f":{part}" for part in spec.split(":")[2:])
    return [data.format(spec=spec, settings=settings) for data in plan.data]


def options_of(name: str, plan: TaskPlan, shared: Mapping[str, Json]) -> Json:
    """Options of a method's training.

    Args:
        name: Name of the method.
        plan: Plan of the task.
        shared: What the user has all methods share; under ``methods`` tables for single ones.
    """
    method, own = METHODS[name], dict(shared)
    alone = own.pop("methods", {}).get(name, {})
    best = laid_over(plan.flow if method.is_flow else {}, method.options)
    experts = best.get("model", {}).get("num_experts", 1)
    of_flows = laid_over({"denoising": FULL}, plan.own) if can_of(name).denoises else {}
    options = laid_over(SHARED, plan.shared)
    for layer in (plan.alike if experts == 1 else {}, of_flows, best, own, alone):
        options = laid_over(options, layer)
    if not encoder_denoises(options):  # the user may have put flows behind their encoders
        options.pop("denoising", None)
    return options


def generation_of(name: str, plan: TaskPlan) -> Json:
    """Options with which a method writes.

    Example:
        >>> generation_of("flow", PLANS["latin"]), generation_of("flow, re-noised", PLANS["latin"])
        ({'reread': True}, {'candidates': 4})
    """
    own = METHODS[name].generate
    return dict(own) if own or not can_of(name).denoises else dict(plan.generate)
