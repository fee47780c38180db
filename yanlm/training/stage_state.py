"""What a stage of training holds between two steps, and its way into a checkpoint and back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.training import DivergedError
from yanlm.training.checkpoints import CheckpointError, latest_checkpoint, load_checkpoint, save_checkpoint
from yanlm.training.distributed import Processes, restore, snapshot
from yanlm.training.early_stopping import Best
from yanlm.training.ema import MovingAverage, assign, local, whole
from yanlm.training.log import Record, RunLog, Window
from yanlm.training.prefetch import Ahead, Draw
from yanlm.training.schedule import Plan, TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

OnLog = Callable[[Record], None]
OnSample = Callable[[Any, int], None]
OnCheck = Callable[[Any, int], float]


class StageState:
    """Model, optimizer, average, plan, streams and clock of one stage; saved, loaded, and brought back if it diverges.

    Model and optimizer are wrapped when the stage begins (:meth:`yanlm.training.stage.Stage.begin`).
    """

    wrapped: Any
    bare: Any
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    bad: torch.Tensor
    stream_state: Any

    def __init__(
        self,
        model: Any,
        stage: int,
        draw: Draw,
        settings: TrainSettings,
        folder: Path,
        accelerator: Accelerator,
        on_log: OnLog | None,
        on_sample: OnSample | None,
        on_check: OnCheck | None,
        extra: Record,
    ) -> None:
        self.model, self.stage, self.draw, self.settings, self.folder = model, stage, draw, settings, folder
        self.accelerator, self.on_log, self.on_sample, self.extra = accelerator, on_log, on_sample, extra
        self.on_check, self.best = on_check, Best(folder, settings.patience)
        self.processes = Processes(accelerator)
        self.plan = Plan(settings)
        self.log = RunLog(folder)
        self.ahead: Ahead | None = None
        self.step = self.tokens = 0
        self.saved_step: int | None = None
        self.checked_step: int | None = None
        self.before, self.started = 0.0, math.nan  # seconds of earlier sessions; the clock at this one's first step
        self.interrupted = False
        self.window = Window()
        self.rate, self.grad_norm = 0.0, torch.zeros(())

    def _start_clock(self) -> None:
        if math.isnan(self.started):
            self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Training time so far, over all resumes."""
        return self.before + (0.0 if math.isnan(self.started) else time.perf_counter() - self.started)

    def _guard(self, step: int) -> None:
        """Go back to the last checkpoint and stop if a loss or a gradient was not finite."""
        if not self.processes.any(bool(self.bad)):
            return
        last = self.processes.from_main(latest_checkpoint(self.folder))
        if last is not None:
            self._load(last)
        self._settle(averaged=False)
        raise DivergedError(
            f"stage {self.stage}: loss or gradient were no longer finite by step {step}; the model is back at step "
            f"{self.step}, which is saved in {self.folder}. Lower --lr (it was {self.settings.lr:g}) and resume"
        )

    def _save(self) -> None:
        """A checkpoint of this step, unless there is one."""
        if self.saved_step == self.step:
            return
        if self.parameters:
            self.bad |= ~torch.stack([local(p).isfinite().all() for p in self.parameters]).all()
        self._guard(self.step)
        tensors = snapshot(self.bare, self.optimizer)
        if self.average is not None:
            tensors["ema"] = self.average.state_dict()
        sums = {name: self.accelerator.reduce(value, "mean").item() for name, value in self.window.sums.items()}
        state = {
            "stage": self.stage,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "streams": self.processes.gather(self.stream_state),
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

    def _load(self, path: Path) -> list[Record]:
        """Take up a checkpoint; returns the last records it knows of."""
        tensors, state = load_checkpoint(path)
        if state["stage"] != self.stage:
            raise CheckpointError(f"{path} is of stage {state['stage']}, not of stage {self.stage}")
        restore(self.bare, self.optimizer, tensors)
        if self.average is not None:
            self.average.load_state_dict(tensors.get("ema", {}), state["averaged"])
        self.stream_state = self._own_stream(state["streams"])
        self.step = self.saved_step = state["step"]
        self.tokens, self.before = state["tokens"], state["seconds"]
        self.started = math.nan
        self.plan.load_state_dict(state["plan"], self.before)
        self.window = Window.of(state["window"], self.accelerator.device)
        if "best" in state:
            self.best.load_state_dict(state["best"])
            self.checked_step = state["checked"]
        self.bad.zero_()
        history: list[Record] = state["history"]
        return history

    def _own_stream(self, streams: list[Any]) -> Any:
        if len(streams) == self.processes.count:
            return streams[self.processes.rank]
        if any(stream != streams[0] for stream in streams):
            raise CheckpointError(
                f"the run was begun with {len(streams)} processes that read different data: "
                f"resume it with as many, not {self.processes.count}"
            )
        return streams[0]

    def _size(self) -> int:
        """Bytes of a checkpoint: the weights, AdamW's two moments and the moving average."""
        weights: int = sum(tensor.numel() * tensor.element_size() for tensor in self.model.state_dict().values())
        trained: int = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        return weights + 4 * trained * (2 if self.average is None else 3)

    def _settle(self, averaged: bool) -> None:
        """The weights that the caller's model ends with."""
        if averaged and self.average is not None:
            self.average.copy_to_model()
        self._fill_whole()

    def _fill_whole(self) -> None:
        """Where the weights are sharded, copy them into the caller's whole model, on every process."""
        if self.bare is not self.model:
            targets = self.model.state_dict()
            for name, tensor in self.bare.state_dict().items():
                assign(targets[name], whole(tensor))
