"""How a task is evaluated: steps, seeds, samples, lengths, checked against the model before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from moefm.checks import check_choice, check_count
from yanlm.config import AUTOREGRESSIVE
from yanlm.generation.options import FLOW_OPTIONS
from yanlm.modeling.ensemble import Ensemble
from yanlm.tasks.task import TASKS, Task, get_task
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

_FLOW = {name: FLOW_OPTIONS[name] for name in ("routing", "z0_scale", "reread")}
_FACTS = ("method", "num_experts", "scope", "backbone", "form", "max_length", "pad_to", "stage")


@dataclass(frozen=True)
class Protocol:
    """How a task is evaluated.

    Attributes:
        task: The task.
        steps: Numbers of steps T.
        seeds: Seeds of generation.
        samples: Results for every row.
        labels: ``any`` or ``known``.
        length: ``given``, ``predicted``, or ``padding`` where the model ends its answers itself.
        drawn: Options of generation that are the model's: ``routing``, ``z0_scale`` and ``reread``, or ``temperature``;
            all four where a flow rereads.
        batch_size: Rows generated together.
        free: Whether the model writes token by token and comes to the lengths as it writes.
    """

    task: Task
    steps: tuple[int, ...]
    seeds: tuple[int, ...]
    samples: int
    labels: str
    length: str
    drawn: dict[str, Any]
    batch_size: int
    free: bool


def protocol(
    model: YanModel,
    builder: Builder,
    task: str | Task,
    *,
    steps: Sequence[int],
    seeds: Sequence[int],
    samples: int,
    labels: str,
    length: str,
    routing: str,
    z0_scale: float,
    reread: bool,
    temperature: float,
    batch_size: int,
) -> Protocol:
    """Check the arguments of :func:`yanlm.evaluation.evaluator.evaluate_task`, which says what they mean.

    Raises:
        ValueError: One is out of range or no option of the model, the flow is not trained, or a package is missing.
    """
    task = get_task(task)
    check_choice("length", length, ("given", "predicted"))
    check_choice("labels", labels, ("any", "known"))
    if labels == "known" and not task.closed:
        closed = ", ".join(known.name for known in TASKS.values() if known.closed)
        raise ValueError(f"labels=known goes with the task {closed}, got the task {task.name}")
    check_count("samples", samples)
    check_count("batch_size", batch_size)
    if not steps or not seeds:
        raise ValueError(f"steps and seeds must hold at least one number each, got {list(steps)} and {list(seeds)}")
    for count in steps:
        check_count("steps", count)
    for seed in seeds:
        check_count("seeds", seed, minimum=0)
    if isinstance(model, Ensemble) and labels != "known":
        raise ValueError("several models answer together where the labels are known: task=classify with labels=known")
    method = model.config.method
    if method == "flow" and model.config.stage == 1:
        raise ValueError("this model went through stage 1 alone and has no flow yet: yanlm train --stage 2 --init DIR")
    _need_packages(samples)
    drawn: dict[str, Any] = {"routing": routing, "z0_scale": z0_scale, "reread": reread}
    if method != "flow":
        if drawn != _FLOW:
            raise ValueError(f"routing, z0_scale and reread are options of the flow, and this is a {method} model")
        drawn = {"temperature": temperature}
    elif reread:
        drawn["temperature"] = temperature
    elif temperature:
        raise ValueError("temperature goes with reread where there is a flow; z0_scale changes its diversity")
    if labels == "known" and (temperature or reread):
        raise ValueError("known labels are compared, and nothing is written: leave out temperature and reread")
    kind = "padding" if builder.pad_to is not None and task.kind != "text" else length
    free = kind == "predicted" and method in AUTOREGRESSIVE
    if free and temperature:
        raise ValueError(
            f"a {method} model finds lengths greedily: leave out temperature, or evaluate with length=given"
        )
    return Protocol(
        task,
        (1,) if method in AUTOREGRESSIVE else tuple(dict.fromkeys(steps)),
        tuple(dict.fromkeys(seeds)) if method == "flow" or temperature else (seeds[0],),  # nothing is drawn
        samples,
        labels,
        kind,
        drawn,
        batch_size,
        free,
    )


def model_facts(model: YanModel) -> dict[str, Any]:
    """What a report says of a model."""
    config = model.config
    facts = {name: getattr(config, name) for name in _FACTS if getattr(config, name, None) is not None}
    if facts["method"] != "flow":
        facts = {name: value for name, value in facts.items() if name not in ("num_experts", "scope")}
    if isinstance(model, Ensemble):
        facts["models"] = len(model.models)
    return {**facts, "parameters": sum(parameter.numel() for parameter in model.parameters())}


def _need_packages(samples: int) -> None:
    """Nothing is more vexing than an import that fails when an hour of generation is over."""
    wanted = {"rouge_score": True, "sacrebleu": samples > 1}
    missing = [name for name, needed in wanted.items() if needed and find_spec(name) is None]
    if missing:
        raise ValueError(f"evaluation needs {', '.join(missing)}, which is not installed: pip install 'moefm[eval]'")
