"""The loop of one training stage: any number of processes, exact resume, and a stop at the first number that is not
finite.

All random numbers in a batch follow from the seeds of its rows, the draw knows its position, and a checkpoint holds
both. So a killed stage continues as if it had not been killed. One code path serves a single process,
``torchrun`` or ``accelerate launch`` (DDP) and sharded weights (FSDP).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.checks import check_choice
from moefm.inputs import check_device
from moefm.training import DivergedError
from yanlm.nn.half_precision import warn_of_slow_bfloat16
from yanlm.training.checkpoints import CheckpointError
from yanlm.training.distributed import unwrap
from yanlm.training.log import Record
from yanlm.training.prefetch import Draw
from yanlm.training.schedule import TrainSettings
from yanlm.training.stage import Hooks, StageLoop
from yanlm.training.stage_state import StageState

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["CheckpointError", "DivergedError", "StageResult", "TrainSettings", "make_accelerator", "train_stage"]


@dataclass(frozen=True)
class StageResult:
    """The result of :func:`train_stage`.

    Attributes:
        steps: Optimizer steps, over all resumes.
        seconds: Training time, over all resumes.
        tokens: Target tokens seen, padding left out.
        history: The lines of ``log.jsonl``.
    """

    steps: int
    seconds: float
    tokens: int
    history: list[Record] = field(repr=False)


DEVICES = ("auto", "cpu", "cuda", "mps")


def make_accelerator(precision: str = "no", device: str = "auto") -> Accelerator:
    """The ``accelerate.Accelerator`` that :func:`train_stage` makes when it is given none.

    Args:
        precision: ``no`` or ``bf16``.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best there is.

    Raises:
        ValueError: There is no such device here.

    Warns:
        UserWarning: The device computes in bf16 more slowly than in float32.
    """
    if check_choice("device", device, DEVICES) != "auto":
        check_device(device)
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    options = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
    cpu = device == "cpu" or not torch.accelerator.is_available()  # or torchrun's processes would not know each other
    accelerator = Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=[options])
    if precision == "bf16":
        warn_of_slow_bfloat16(accelerator.device, "train with precision 'no'")
    return accelerator


def train_stage(
    model: Any,
    stage: int,
    draw: Draw,
    settings: TrainSettings,
    folder: str | Path,
    *,
    accelerator: Accelerator | None = None,
    resume: bool = False,
    on_begin: Callable[[], None] | None = None,
    on_step: Callable[[], None] | None = None,
    on_log: Callable[[Record], None] | None = None,
    on_sample: Callable[[Any, int], None] | None = None,
    on_check: Callable[[Any, int], float] | None = None,
    on_note: Callable[[str], None] | None = None,
    extra_state: Mapping[str, Any] | None = None,
) -> StageResult:
    """Train ``model`` in place; it ends in evaluation mode, with the averaged weights if ``settings.ema`` is set.

    Args:
        model: A ``YanModel``, or any module with its ``prepare_stage``, ``counts`` and ``forward``.
        stage: 1 or 2.
        draw: ``next() -> (batch, seeds)`` for this process and micro-batch, ``state_dict``, ``load_state_dict``.
        settings: See :class:`TrainSettings`.
        folder: Folder for ``log.jsonl``, ``state/`` (checkpoints) and ``tensorboard/`` (if that package is installed).
            Several machines must share it.
        accelerator: Device, processes and precision; by default :func:`make_accelerator`.
        resume: Continue from the newest checkpoint of ``folder`` that loads, or start if there is none.
        on_begin: Called by the main process before the first step, when a checkpoint is loaded if there is one.
        on_step: Called by the main process after every step.
        on_log: Called by the main process with every record of the log, and the time left.
        on_sample: Called by the main process with the model (averaged weights, evaluation mode) and the step.
        on_check: Called likewise every ``settings.check_every`` steps; returns a score, higher is better. The model
            ends with the weights that scored best, and stops after ``settings.patience`` checks without a better one.
        on_note: Called by the main process with a line for the user, such as which checkpoint was skipped.
        extra_state: JSON-able, kept in the checkpoints.

    Raises:
        ValueError: Settings and processes do not fit, or ``folder`` holds a run and ``resume`` is not set.
        CheckpointError: A checkpoint cannot be written (disk full, no permission), or none of those there can be read.
        DivergedError: Loss or gradient are not finite; the model is back at the last checkpoint.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the step was finished and saved.
    """
    accelerator = make_accelerator(settings.precision) if accelerator is None else accelerator
    accelerator.gradient_accumulation_steps = 1  # accumulation is done here
    _check(accelerator, settings)
    hooks = Hooks(on_step, on_log, on_sample, on_check)
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices), contextlib.ExitStack() as stack:
        stack.callback(unwrap, model, accelerator)
        note = on_note if on_note is not None and accelerator.is_main_process else lambda text: None
        state = StageState(model, stage, draw, settings, Path(folder), accelerator, extra_state or {}, note)
        loop = StageLoop(state, hooks)
        stack.callback(loop.close)
        loop.begin(resume)
        if on_begin is not None and accelerator.is_main_process:
            on_begin()
        with loop.interrupts.heard(alone=state.processes.count == 1):
            loop.run()
    return StageResult(state.step, state.clock.seconds, state.tokens, state.log.records)


def _check(accelerator: Accelerator, settings: TrainSettings) -> None:
    if accelerator.mixed_precision != settings.precision:
        raise ValueError(
            f"precision is {settings.precision!r}, but the accelerator was made with {accelerator.mixed_precision!r}"
        )
    if str(accelerator.distributed_type.value) in ("DEEPSPEED", "MEGATRON_LM", "XLA"):
        raise ValueError(f"{accelerator.distributed_type.value} is not supported: launch with DDP or FSDP")
    least = accelerator.num_processes * settings.accumulate
    if settings.batch_size < least:
        raise ValueError(
            f"batch_size must give every micro-batch of every process a row: at least {least} "
            f"({accelerator.num_processes} processes, accumulate={settings.accumulate}), got {settings.batch_size}"
        )
