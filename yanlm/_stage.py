"""One stage while it trains: what it holds between two steps, the step, and its way into a checkpoint and back."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moefm.training import DivergedError
from yanlm._ahead import Ahead, Draw, MicroBatch
from yanlm._processes import Processes, restore, snapshot, wrap
from yanlm._runlog import Record, RunLog, Window
from yanlm.best import Best
from yanlm.checkpoints import CheckpointError, check_room, latest_checkpoint, load_checkpoint, save_checkpoint
from yanlm.ema import MovingAverage, assign, local, whole
from yanlm.noise import row_seed
from yanlm.optimizer import make_optimizer
from yanlm.schedule import Plan, TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

OnLog = Callable[[Record], None]
OnSample = Callable[[Any, int], None]
OnCheck = Callable[[Any, int], float]


class Stage:
    """The state of one stage between two steps, and the step."""

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

    # Before and after the steps

    def begin(self, resume: bool) -> None:
        """Wrap the model, take up the newest checkpoint or write the first one, start reading ahead."""
        self.model.prepare_stage(self.stage)
        self.wrapped, self.bare = wrap(self.model, self.accelerator)
        self.parameters = [p for p in self.bare.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.bare, self.settings, fused=self.accelerator.device.type == "cuda")
        self.average = MovingAverage(self.bare, self.settings.ema) if self.settings.ema else None
        self.bad = torch.zeros((), dtype=torch.bool, device=self.accelerator.device)
        self.processes.on_main(lambda: check_room(self.folder, self._size()))
        last = self.processes.from_main(latest_checkpoint(self.folder))
        if last is not None and not resume:
            raise ValueError(f"folder {self.folder} holds a run ({last.name}): resume it or choose another folder")
        self.stream_state = self.draw.state_dict()
        tail = [] if last is None else self._load(last)
        self.processes.on_main(lambda: self.log.open(self.step, tail))
        self.log.records = self.processes.from_main(self.log.records)
        if last is None:
            self._save()  # what a divergence in the first steps goes back to
        self.draw.load_state_dict(self.stream_state)
        self.ahead = Ahead(self.draw, self.settings.accumulate, pin=self.accelerator.device.type == "cuda")
        self.wrapped.train()

    def loop(self) -> None:
        """All steps, then the last line, the last checkpoint and the weights that stay."""
        clock = self.before
        while self.ahead is not None and not self.plan.done(self.step, clock):
            batches, stream_state = self.ahead.take()
            if math.isnan(self.started):
                self.started = time.perf_counter()
            counts = torch.stack([self.model.counts(batch) for batch, _ in batches]).sum(0).tolist()
            # One message a step: what the losses are means over, who wants to stop, the time on the main process.
            mine = [*counts, float(self.interrupted), self.seconds if self.processes.main else 0.0]
            tokens, slots, stop, clock = self.processes.sum(mine)
            self.plan.advance(self.step, clock)
            if self.plan.done(self.step, clock):
                break
            self._train_step(batches, [tokens, slots], clock)
            self.step, self.stream_state = self.step + 1, stream_state
            self.tokens += int(tokens)
            if self.step == 1 or self.step % self.settings.log_every == 0:
                self._report()
            if self.settings.sample_every and self.step % self.settings.sample_every == 0:
                self._sample()
            if self.settings.check_every and self.step % self.settings.check_every == 0:
                self._check()
            if stop or self.step % self.settings.save_every == 0:
                self._save()
            if stop:
                self._settle(averaged=False)
                raise KeyboardInterrupt
            if self.best.exhausted:
                break
        if self.window.steps:
            self._report()
        if self.settings.check_every and self.checked_step != self.step:
            self._check()
        self._save()
        self._settle(averaged=True)
        self.best.give(self.model)
        if self.processes.any(self.interrupted):  # in the last step: this stage is done, what follows shall not begin
            raise KeyboardInterrupt

    def close(self) -> None:
        """Leave thread, files and model as a caller expects them, also after an error."""
        if self.ahead is not None:
            self.ahead.close()
            self.draw.load_state_dict(self.stream_state)
        self.log.close()
        self.accelerator.free_memory()
        for name in ("forward", "_original_forward", "_is_accelerate_prepared"):  # what wrapping left on the model
            vars(self.model).pop(name, None)
        self.model.zero_grad(set_to_none=True)
        self.model.eval()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask for a stop after the step; a second Ctrl-C of a lone process stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, _frame: object) -> None:
            # Launchers repeat the terminal's signal, so among several processes a second one means nothing.
            if self.interrupted and number == signal.SIGINT and self.processes.count == 1:
                raise KeyboardInterrupt
            self.interrupted = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def seconds(self) -> float:
        """Training time so far, over all resumes."""
        return self.before + (0.0 if math.isnan(self.started) else time.perf_counter() - self.started)

    # One step

    def _train_step(self, batches: list[MicroBatch], counts: list[float], clock: float) -> None:
        parts, device = len(batches), self.accelerator.device
        totals = torch.tensor([max(count, 1.0) for count in counts]) / (self.processes.count * parts)
        totals = totals.to(device, non_blocking=True)
        torch.manual_seed(row_seed(self.settings.seed, self.step, self.processes.rank))
        self.rate = self.settings.lr * self.plan.factor(self.step, clock)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        for index, (batch, seeds) in enumerate(batches):
            batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
            last = index == parts - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                with self.accelerator.autocast():
                    output = self.wrapped(**batch, stage=self.stage, seeds=seeds, totals=totals)
                self.accelerator.backward(output.loss / parts)
            self.window.add({"loss": output.loss, **output.parts}, 1 / parts)
            self.bad |= ~output.loss.detach().isfinite()
        if self.step == self.saved_step and all(p.grad is None for p in self.parameters):
            raise TypeError(
                "no gradient reached the model: its loss must depend on what prepare_stage left to train, and its "
                "output must be a ModelOutput, dict or named tuple, or sharding cannot see it"
            )
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.settings.clip or math.inf)
        self.grad_norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        self.bad |= ~self.grad_norm.isfinite()
        if device.type == "cpu":  # elsewhere looking at the flag would stall the device: before each line and save
            self._guard(self.step + 1)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()
        self.window.count(int(counts[0]))

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

    def _report(self) -> None:
        """A line of the log: means since the last one, over all processes."""
        self._guard(self.step)
        means = self.window.means()
        values = self.accelerator.reduce(torch.stack(list(means.values())), "mean").tolist()
        named = dict(zip(means, values, strict=True))
        seconds = self.seconds
        record = {
            "step": self.step,
            "loss": named.pop("loss"),
            "parts": named,
            "lr": self.rate,
            "grad_norm": float(self.grad_norm),
            "tokens_per_second": self.window.tokens / max(seconds - self.window.since, 1e-9),
            "seconds": seconds,
        }
        self.window = Window(since=seconds)
        self.log.records.append(record)
        self.processes.on_main(lambda: self.log.write(record))
        if self.processes.main and self.on_log is not None:
            plan = {"total": self.plan.total, "minutes": self.settings.minutes}
            self.on_log({**record, **plan, "stage": self.stage, "eta": self.plan.left(self.step, seconds)})

    def _sample(self) -> None:
        with contextlib.nullcontext() if self.average is None else self.average.in_use():
            self._fill_whole()
            if self.processes.main and self.on_sample is not None:
                self.model.eval()
                self.on_sample(self.model, self.step)
        self.wrapped.train()

    def _check(self) -> None:
        """Score the model on validation; the best weights are kept, and a checkpoint that knows of them."""
        if self.on_check is None:
            return
        self.checked_step = self.step
        with contextlib.nullcontext() if self.average is None else self.average.in_use():
            self._fill_whole()
            score = math.nan
            if self.processes.main:
                self.model.eval()
                score = self.on_check(self.model, self.step)
            score = self.processes.from_main(score)
            if self.processes.main:
                self.best.take(score, self.step, self.model.state_dict())
        self.best.load_state_dict(self.processes.from_main(self.best.state_dict()))
        self.wrapped.train()
        if not self.best.misses:
            self._save()

    # State

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
