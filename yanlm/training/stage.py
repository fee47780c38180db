"""One stage while it trains: its steps, and what is looked at between them."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Iterator

import torch

from yanlm.seeding import row_seed
from yanlm.training.checkpoints import check_room, latest_checkpoint
from yanlm.training.distributed import wrap
from yanlm.training.ema import MovingAverage
from yanlm.training.log import Window
from yanlm.training.optimizer import make_optimizer
from yanlm.training.prefetch import Ahead, MicroBatch
from yanlm.training.stage_state import StageState


class Stage(StageState):
    """One stage from its first step, or the last that was saved, to the weights that stay."""

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
            self._start_clock()
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
