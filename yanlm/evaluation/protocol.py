"""How a task is evaluated: steps, seeds, samples, lengths, checked against the model before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from moefm.checks import check_choice, check_count
from moefm.installation import install
from yanlm.generation.capabilities import Capabilities
from yanlm.generation.options import DEFAULTS, FLOW_OPTIONS, GenerationOptions
from yanlm.modeling.ensemble import Ensemble
from yanlm.tasks.task import TASKS, Task, get_task
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import check_pair

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

_TOLD = ("routing", "z0_scale", "reread")
_FACTS = ("method", "num_experts", "scope", "backbone", "form", "max_length", "pad_to", "stage")


@dataclass(frozen=True)
class Protocol:
    """How a task is evaluated.

    Attributes:
        task: The task.
        steps: Numbers of steps T.
        seeds: Seeds of generation.
        options: How slots are filled; steps and seeds apart.
        told: The options that the model has, for the report: ``routing``, ``z0_scale`` and ``reread``, or
            ``temperature`` and ``order``; all five where a flow rereads. Of a flow whose encoder denoises ``sampler``,
            ``temperature``, and with the sampler ``flow`` also ``candidates``, and ``perturb`` if it is given.
        labels: ``any`` or ``known``.
        length: ``given``, ``predicted``, or ``padding`` where the model ends its answers itself.
        batch_size: Rows generated together.
        free: Whether the model writes token by token and decides the lengths as it writes.
    """

    task: Task
    steps: tuple[int, ...]
    seeds: tuple[int, ...]
    options: GenerationOptions
    told: dict[str, Any]
    labels: str
    length: str
    batch_size: int
    free: bool


def protocol(
    model: YanModel,
    builder: Builder,
    task: str | Task,
    *,
    steps: Sequence[int],
    seeds: Sequence[int],
    options: GenerationOptions,
    labels: str,
    length: str,
    batch_size: int,
) -> Protocol:
    """Check the arguments of :func:`yanlm.evaluation.evaluator.evaluate_task`, which says what they mean.

    Raises:
        ValueError: One is out of range or no option of the model, the flow is not trained, a package is missing, or
            the builder has the tokenizer of another model.
    """
    check_pair(builder.tokenizer, model.config)
    task, can = get_task(task), model.can
    check_choice("length", length, ("given", "predicted"))
    check_choice("labels", labels, ("any", "known"))
    if labels == "known" and not task.closed:
        closed = ", ".join(known.name for known in TASKS.values() if known.closed)
        raise ValueError(f"labels=known goes with the task {closed}, got the task {task.name}")
    check_count("batch_size", batch_size)
    if not steps or not seeds:
        raise ValueError(f"steps and seeds must hold at least one number each, got {list(steps)} and {list(seeds)}")
    for count in steps:
        check_count("steps", count)
    for seed in seeds:
        check_count("seeds", seed, minimum=0)
    if options.seeds is not None:
        raise ValueError("seeds of an evaluation are its argument seeds, one for all rows: leave them out of options")
    if not can.write and labels != "known":
        raise ValueError("several models answer together where the labels are known: task=classify with labels=known")
    can.check_trained()
    _need_packages(options.samples)
    if labels == "known" and (options.temperature or options.reread or options.order != DEFAULTS.order):
        raise ValueError("known labels are compared, and nothing is written: leave out temperature, reread and order")
    can.check(options, choosing=labels == "known")
    kind = "padding" if builder.pad_to is not None and task.kind != "text" else length
    free = kind == "predicted" and can.lengths
    if free and options.temperature:
        raise ValueError(
            f"a {can.method} model finds lengths greedily: leave out temperature, or evaluate with length=given"
        )
    return Protocol(
        task=task,
        steps=tuple(dict.fromkeys(steps)) if can.steps else (1,),
        seeds=tuple(dict.fromkeys(seeds)) if can.draws(options) else (seeds[0],),
        options=options,
        told=_told(options, can),
        labels=labels,
        length=kind,
        batch_size=batch_size,
        free=free,
    )


def _told(options: GenerationOptions, can: Capabilities) -> dict[str, Any]:
    """What a report says of the options: those that the model has."""
    diffused = options.sampler == "diffusion"
    names = _TOLD if can.routing and not diffused else ()
    if can.denoises:
        names = (*names, "sampler") if diffused else (*names, "sampler", "candidates", "perturb")
    if options.reread or can.temperature:
        names = (*names, "temperature")
    if options.reread or can.order or diffused:
        names = (*names, "order")
    told = {name: value for name in names if (value := getattr(options, name)) is not None}
    if can.routing and options.solver != FLOW_OPTIONS["solver"]:
        told["solver"] = options.solver
    return {name: value if isinstance(value, str | int | float) else repr(value) for name, value in told.items()}


def model_facts(model: YanModel) -> dict[str, Any]:
    """What a report says of a model."""
    config = model.config
    facts = {name: getattr(config, name) for name in _FACTS if getattr(config, name, None) is not None}
    if not model.can.routing:
        facts = {name: value for name, value in facts.items() if name not in ("num_experts", "scope")}
    if isinstance(model, Ensemble):
        facts["models"] = len(model.models)
    return {**facts, "parameters": sum(parameter.numel() for parameter in model.parameters())}


def _need_packages(samples: int) -> None:
    """Import packages now, not after an hour of generation."""
    wanted = {"rouge_score": True, "sacrebleu": samples > 1}
    missing = [name for name, needed in wanted.items() if needed and find_spec(name) is None]
    if missing:
        raise ValueError(f"evaluation needs {', '.join(missing)}, which is not installed: {install('eval')}")
