"""What a stage of training holds between two steps, and how it is saved and restored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.training import DivergedError
from yanlm.training.checkpoints import (
    UNREADABLE,
    CheckpointError,
    drop_checkpoints,
    load_checkpoint,
    reason,
    save_checkpoint,
    saved_checkpoints,
    state_folder,
    step_of,
)
from yanlm.training.compilation import compile_blocks
from yanlm.training.distributed import Processes, restore, snapshot, wrap
from yanlm.training.early_stopping import Best
from yanlm.training.ema import MovingAverage, assign, local, whole
from yanlm.training.log import Record, RunLog, Window
from yanlm.training.optimizer import make_optimizer
from yanlm.training.prefetch import Draw
from yanlm.training.schedule import Clock, Plan, TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


class StageState:
    """Model, optimizer, average, plan, clock, log and counters of one stage; saved, loaded, restored on divergence.

    Args:
        model: What is trained; wrapped here for the processes there are.
        stage: 1 or 2.
        draw: Where batches come from.
        settings: See :class:`TrainSettings`.
        folder: Folder of the stage.
        accelerator: Device, processes and precision.
        extra: Kept in the checkpoints.
        note: Called with what the user should know.

    Attributes:
        wrapped: What is called in place of the model.
        bare: The module inside whose parameters are trained.
        draw_state: Where the draw stands after the last step.
        bad: Whether a loss, a gradient or a weight was not finite, on the device.
        bad_at_once: The same of the first step after a checkpoint: its weights are spoiled already.
    """

    def __init__(
        self,
        model: Any,
        stage: int,
        draw: Draw,
        settings: TrainSettings,
        folder: Path,
        accelerator: Accelerator,
        extra: Mapping[str, Any],
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.model, self.stage, self.draw, self.settings = model, stage, draw, settings
        self.folder, self.accelerator, self.extra, self.note = folder, accelerator, dict(extra), note
        self.draw_state = draw.state_dict()
        self.processes = Processes(accelerator)
        self.plan, self.clock, self.best = Plan(settings), Clock(), Best(folder, settings.patience)
        self.log, self.window = RunLog(folder, settings.log_with), Window()
        self.step = self.tokens = 0
        self.saved_step: int | None = None
        self.checked_step: int | None = None
        model.prepare_stage(stage)
        if settings.compile:
            compile_blocks(model)
        self.wrapped, self.bare = wrap(model, accelerator)
        self.parameters = [p for p in self.bare.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.bare, settings)
        self.average = MovingAverage(self.bare, settings.ema) if settings.ema else None
        self.bad = torch.zeros((), dtype=torch.bool, device=accelerator.device)
        self.bad_at_once = self.bad.clone()

    def guard(self, step: int) -> None:
        """Go back to the last checkpoint and stop if a loss or a gradient was not finite.

        A checkpoint after which the very next step was not finite is of no use, and is removed if there is an earlier
        one.

        Raises:
            DivergedError: One was.
        """
        if not self.processes.any(bool(self.bad)):
            return
        spoiled = self.saved_step if self.processes.any(bool(self.bad_at_once)) else None
        paths = saved_checkpoints(self.folder)
        before = [path for path in paths if spoiled is None or step_of(path) < spoiled]
        self.resume(self.processes.from_main(before or paths))
        if before:
            self.processes.on_main(lambda: drop_checkpoints(self.folder, after=self.step))
        self.settle(averaged=False)
        raise DivergedError(
            f"stage {self.stage}: loss or gradient were no longer finite by step {step}; the model is back at step "
            f"{self.step}, which is saved in {self.folder}. Lower --lr (it was {self.settings.lr:g}) and resume"
        )

    def save(self) -> None:
        """A checkpoint of this step, unless there is one."""
        if self.saved_step == self.step:
            return
        if self.parameters:
            self.bad |= ~torch.stack([local(p).isfinite().all() for p in self.parameters]).all()
        self.guard(self.step)
        tensors = snapshot(self.bare, self.optimizer)
        if self.average is not None:
            tensors["ema"] = self.average.state_dict()
        sums = {name: self.accelerator.reduce(value, "mean").item() for name, value in self.window.sums.items()}
        state = {
            "stage": self.stage,
            "seconds": self.clock.seconds,
            "tokens": self.tokens,
            "streams": self.processes.gather(self.draw_state),
            "plan": self.plan.state_dict(),
            "averaged": 0 if self.average is None else self.average.updates,
            "window": {**self.window.state_dict(), "sums": sums},
            "history": self.log.records[-20:],
            "best": self.best.state_dict(),
            "checked": self.checked_step,
            "settings": asdict(self.settings),
            "extra": self.extra,
        }
        self.processes.on_main(lambda: save_checkpoint(self.folder, self.step, tensors, state))
        self.saved_step = self.step

    def resume(self, paths: Sequence[Path]) -> list[Record] | None:
        """Load the first checkpoint that can be read; return its last records, or ``None`` if there is none.

        Args:
            paths: Paths of checkpoints, newest first.

        Raises:
            CheckpointError: There are checkpoints, and none of them loads: damaged, of another stage or model.
        """
        failures: dict[Path, CheckpointError] = {}
        for path in paths:
            try:
                history, failure = self._load(path), None
            except CheckpointError as error:
                history, failure = [], error
            if not self.processes.any(failure is not None):
                for passed_over, why in failures.items():
                    self.note(
                        f"{passed_over.name} is passed over, going on from step {self.step}, the one before: {why}"
                    )
                self._forget_lost_best()
                return history
            failures[path] = failure or CheckpointError(f"{path} could not be read by another process")
        for failure in failures.values():  # that of the newest
            remedy = f"bring one back, or remove {state_folder(self.folder)} to begin the stage anew"
            raise CheckpointError(f"{failure}; no other one loads: {remedy}")
        return None

    def _forget_lost_best(self) -> None:
        """If the best weights are not those that the checkpoint refers to, look for the best again."""
        if self.processes.from_main(self.best.whole):
            return
        self.note(f"{self.best.path} is not as it was written at step {self.best.step}: the best is looked for anew")
        self.best = Best(self.folder, self.settings.patience)

    def _load(self, path: Path) -> list[Record]:
        tensors, state = load_checkpoint(path)
        try:
            if state["stage"] != self.stage:
                raise CheckpointError(f"{path} is of stage {state['stage']}, not of stage {self.stage}")
            restore(self.bare, self.optimizer, tensors)
            if self.average is not None:
                self.average.load_state_dict(tensors.get("ema", {}), state["averaged"])
            self.draw_state = self._own_draw(state["streams"])
            self.draw.load_state_dict(self.draw_state)
            self.step = self.saved_step = int(state["step"])
            self.tokens, self.clock = int(state["tokens"]), Clock(float(state["seconds"]))
            self.plan.load_state_dict(state["plan"], self.clock.seconds)
            self.window = Window.of(state["window"], self.accelerator.device)
            self.best = Best(self.folder, self.settings.patience)
            self.checked_step = None
            if "best" in state:
                self.best.load_state_dict(state["best"])
                self.checked_step = state["checked"]
            history = [record for record in state["history"] if int(record["step"]) <= self.step]
        except UNREADABLE as error:
            raise CheckpointError(f"cannot go on from the checkpoint {path}: {reason(error)}") from error
        self.bad.zero_()
        self.bad_at_once.zero_()
        return history

    def _own_draw(self, states: list[Any]) -> Any:
        if len(states) == self.processes.count:
            return states[self.processes.rank]
        if any(state != states[0] for state in states):
            raise CheckpointError(
                f"the run was begun with {len(states)} processes that read different data: "
                f"resume it with as many, not {self.processes.count}"
            )
        return states[0]

    @property
    def size(self) -> int:
        """Bytes of a checkpoint: the weights, AdamW's two moments and the moving average."""
        weights: int = sum(tensor.numel() * tensor.element_size() for tensor in self.model.state_dict().values())
        trained: int = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        return weights + 4 * trained * (2 if self.average is None else 3)

    def settle(self, averaged: bool) -> None:
        """The final weights of the caller's model."""
        if averaged and self.average is not None:
            self.average.copy_to_model()
        self._fill_whole()

    @contextlib.contextmanager
    def shown(self) -> Iterator[Any]:
        """The caller's model as others see it: whole, with averaged weights, in evaluation mode on the main process."""
        with contextlib.nullcontext() if self.average is None else self.average.in_use():
            self._fill_whole()
            if self.processes.main:
                self.model.eval()
            yield self.model
        self.wrapped.train()

    def _fill_whole(self) -> None:
        """If the weights are sharded, copy them into the caller's whole model, on every process."""
        if self.bare is not self.model:
            targets = self.model.state_dict()
            for name, tensor in self.bare.state_dict().items():
                assign(targets[name], whole(tensor))
