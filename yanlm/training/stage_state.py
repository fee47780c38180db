"""What a stage of training holds between two steps, and its way into a checkpoint and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.training import DivergedError
from yanlm.training.checkpoints import CheckpointError, latest_checkpoint, load_checkpoint, save_checkpoint
from yanlm.training.distributed import Processes, restore, snapshot, wrap
from yanlm.training.early_stopping import Best
from yanlm.training.ema import MovingAverage, assign, local, whole
from yanlm.training.log import Record, RunLog, Window
from yanlm.training.optimizer import make_optimizer
from yanlm.training.schedule import Clock, Plan, TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


class StageState:
    """Model, optimizer, average, plan, clock, log and counters of one stage; saved, loaded, brought back on divergence.

    Args:
        model: What is trained; wrapped here for the processes there are.
        stage: 1 or 2.
        draw: State of the draw of batches before the first step.
        settings: See :class:`TrainSettings`.
        folder: Of the stage.
        accelerator: Device, processes and precision.
        extra: Kept in the checkpoints.

    Attributes:
        wrapped: What is called in place of the model.
        bare: The module inside whose parameters are trained.
        draw: State of the draw after the last step.
        bad: Whether a loss, a gradient or a weight was not finite, on the device.
    """

    def __init__(
        self,
        model: Any,
        stage: int,
        draw: Any,
        settings: TrainSettings,
        folder: Path,
        accelerator: Accelerator,
        extra: Mapping[str, Any],
    ) -> None:
        self.model, self.stage, self.draw, self.settings = model, stage, draw, settings
        self.folder, self.accelerator, self.extra = folder, accelerator, dict(extra)
        self.processes = Processes(accelerator)
        self.plan, self.clock, self.best = Plan(settings), Clock(), Best(folder, settings.patience)
        self.log, self.window = RunLog(folder), Window()
        self.step = self.tokens = 0
        self.saved_step: int | None = None
        self.checked_step: int | None = None
        model.prepare_stage(stage)
        self.wrapped, self.bare = wrap(model, accelerator)
        self.parameters = [p for p in self.bare.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.bare, settings, fused=accelerator.device.type == "cuda")
        self.average = MovingAverage(self.bare, settings.ema) if settings.ema else None
        self.bad = torch.zeros((), dtype=torch.bool, device=accelerator.device)

    def guard(self, step: int) -> None:
        """Go back to the last checkpoint and stop if a loss or a gradient was not finite.

        Raises:
            DivergedError: One was.
        """
        if not self.processes.any(bool(self.bad)):
            return
        last = self.processes.from_main(latest_checkpoint(self.folder))
        if last is not None:
            self.load(last)
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
            "streams": self.processes.gather(self.draw),
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

    def load(self, path: Path) -> list[Record]:
        """Take up a checkpoint; returns the last records it knows of.

        Raises:
            CheckpointError: It cannot be read, or is of another stage or model.
        """
        tensors, state = load_checkpoint(path)
        if state["stage"] != self.stage:
            raise CheckpointError(f"{path} is of stage {state['stage']}, not of stage {self.stage}")
        restore(self.bare, self.optimizer, tensors)
        if self.average is not None:
            self.average.load_state_dict(tensors.get("ema", {}), state["averaged"])
        self.draw = self._own_draw(state["streams"])
        self.step = self.saved_step = state["step"]
        self.tokens = state["tokens"]
        self.clock = Clock(state["seconds"])
        self.plan.load_state_dict(state["plan"], state["seconds"])
        self.window = Window.of(state["window"], self.accelerator.device)
        if "best" in state:
            self.best.load_state_dict(state["best"])
            self.checked_step = state["checked"]
        self.bad.zero_()
        history: list[Record] = state["history"]
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
        """The weights that the caller's model ends with."""
        if averaged and self.average is not None:
            self.average.copy_to_model()
        self._fill_whole()

    @contextlib.contextmanager
    def shown(self) -> Iterator[Any]:
        """The caller's model as others see it: with averaged weights, whole, in evaluation mode on the main process."""
        with contextlib.nullcontext() if self.average is None else self.average.in_use():
            self._fill_whole()
            if self.processes.main:
                self.model.eval()
            yield self.model
        self.wrapped.train()

    def _fill_whole(self) -> None:
        """Where the weights are sharded, copy them into the caller's whole model, on every process."""
        if self.bare is not self.model:
            targets = self.model.state_dict()
            for name, tensor in self.bare.state_dict().items():
                assign(targets[name], whole(tensor))
