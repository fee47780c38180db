"""The loop over a stage: its steps, and what happens between them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from moefm.finite import NotFiniteError
from yanlm.seeding import row_seed
from yanlm.training.checkpoints import check_room, saved_checkpoints
from yanlm.training.interrupts import Interrupts
from yanlm.training.log import Record, Window
from yanlm.training.prefetch import Ahead, MicroBatch
from yanlm.training.stage_state import StageState


@dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear; only the main process calls it.

    Attributes:
        on_step: Nothing, after every step.
        on_log: Every record of the log, and the time left.
        on_sample: The model and the step, every ``sample_every`` steps.
        on_check: The same every ``check_every`` steps; returns a score.
    """

    on_step: Callable[[], None] | None = None
    on_log: Callable[[Record], None] | None = None
    on_sample: Callable[[Any, int], None] | None = None
    on_check: Callable[[Any, int], float] | None = None


class StageLoop:
    """From the first step, or the last one that was saved, to the final weights.

    Args:
        state: What is trained, as it is before the first step.
        hooks: What the caller wants to hear.
    """

    def __init__(self, state: StageState, hooks: Hooks) -> None:
        self.state, self.hooks = state, hooks
        self.settings, self.processes = state.settings, state.processes
        self.interrupts = Interrupts()
        self.ahead: Ahead | None = None

    # Before and after the steps

    def begin(self, resume: bool) -> None:
        """Load the newest checkpoint or write the first one, and start reading ahead.

        Raises:
            ValueError: There is a checkpoint, and ``resume`` is not set.
        """
        state = self.state
        self.processes.on_main(lambda: check_room(state.folder, state.size))
        saved = self.processes.from_main(saved_checkpoints(state.folder))
        if saved and not resume:
            raise ValueError(f"folder {state.folder} holds a run ({saved[0].name}): resume it or choose another folder")
        history = state.resume(saved)
        self.processes.on_main(lambda: state.log.open(state.step, history or []))
        state.log.records = self.processes.from_main(state.log.records)
        if history is None:
            state.save()  # a divergence in the first steps goes back to this
        state.draw.load_state_dict(state.draw_state)
        self.ahead = Ahead(state.draw, self.settings.accumulate, pin=state.accelerator.device.type == "cuda")
        state.wrapped.train()

    def run(self) -> None:
        """All steps, then the last line, the last checkpoint and the final weights.

        Raises:
            KeyboardInterrupt: A stop was asked for; the step was finished and saved.
        """
        state = self.state
        seconds = state.clock.seconds
        while self.ahead is not None and not state.plan.done(state.step, seconds):
            batches, draw_state = self.ahead.take()
            state.clock.start()
            counts = torch.stack([state.model.counts(batch) for batch, _ in batches]).sum(0).tolist()
            # One message a step: what the losses are means over, who wants to stop, the time on the main process.
            own = [*counts, float(self.interrupts.asked), state.clock.seconds if self.processes.main else 0.0]
            tokens, slots, stop, seconds = self.processes.sum(own)
            state.plan.advance(state.step, seconds)
            if state.plan.done(state.step, seconds):
                break
            self._train_step(batches, [tokens, slots], seconds)
            state.step, state.draw_state = state.step + 1, draw_state
            state.tokens += int(tokens)
            self._look(bool(stop))
            if stop:
                state.settle(averaged=False)
                raise KeyboardInterrupt
            if state.best.exhausted:
                break
        self._finish()

    def _finish(self) -> None:
        state = self.state
        if state.window.steps and state.window.rate is not None:
            self._report()
        if self.settings.check_every and state.checked_step != state.step:
            self._check()
        state.save()
        state.settle(averaged=True)
        state.best.give(state.model)
        if self.processes.any(self.interrupts.asked):  # in the last step: nothing after this stage must begin
            raise KeyboardInterrupt

    def close(self) -> None:
        """Leave the thread and the draw as the caller expects them, also after an error."""
        if self.ahead is not None:
            self.ahead.close()
            self.state.draw.load_state_dict(self.state.draw_state)
        self.state.log.close()

    # One step

    @contextlib.contextmanager
    def _divergence(self) -> Iterator[None]:
        """A draw of experts that meets NaN is a divergence; among several processes each would wait for the others."""
        try:
            yield
        except NotFiniteError:
            if self.processes.count == 1:
                self.state.bad.fill_(True)
                self.state.guard(self.state.step + 1)
            raise

    def _train_step(self, batches: list[MicroBatch], counts: list[float], seconds: float) -> None:
        state, accelerator = self.state, self.state.accelerator
        parts, device = len(batches), accelerator.device
        totals = torch.tensor([max(count, 1.0) for count in counts]) / (self.processes.count * parts)
        totals = totals.to(device, non_blocking=True)
        torch.manual_seed(row_seed(self.settings.seed, state.step, self.processes.rank))
        rate = self.settings.lr * state.plan.factor(state.step, seconds)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        for index, (batch, seeds) in enumerate(batches):
            batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
            last = index == parts - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(state.wrapped):
                with accelerator.autocast(), self._divergence():
                    output = state.wrapped(**batch, stage=state.stage, seeds=seeds, totals=totals)
                accelerator.backward(output.loss / parts)
            state.window.add({"loss": output.loss, **output.parts}, 1 / parts)
            state.bad |= ~output.loss.detach().isfinite()
        if state.step == state.saved_step and all(p.grad is None for p in state.parameters):
            raise TypeError(
                "no gradient reached the model: its loss must depend on what prepare_stage left to train, and its "
                "output must be a ModelOutput, dict or named tuple, or sharding cannot see it"
            )
        norm = accelerator.clip_grad_norm_(state.parameters, self.settings.clip or math.inf)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        state.bad |= ~norm.isfinite()
        if state.step == state.saved_step:
            state.bad_at_once |= state.bad
        if device.type == "cpu":  # elsewhere looking at the flag would stall the device: before each line and save
            state.guard(state.step + 1)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        if state.average is not None:
            state.average.update()
        state.window.count(int(counts[0]), rate, norm)

    # Between two steps

    def _look(self, stop: bool) -> None:
        """What is due after this step: a line, a sample, a check, a checkpoint."""
        settings, step = self.settings, self.state.step
        if self.processes.main and self.hooks.on_step is not None:
            self.hooks.on_step()
        if step == 1 or step % settings.log_every == 0:
            self._report()
        if settings.sample_every and step % settings.sample_every == 0:
            self._sample()
        if settings.check_every and step % settings.check_every == 0:
            self._check()
        if stop or step % settings.save_every == 0:
            self.state.save()

    def _report(self) -> None:
        """A line of the log: means since the last one, over all processes."""
        state = self.state
        state.guard(state.step)
        means = state.window.means()
        values = state.accelerator.reduce(torch.stack(list(means.values())), "mean").tolist()
        parts = dict(zip(means, values, strict=True))
        seconds = state.clock.seconds
        record = {
            "step": state.step,
            "loss": parts.pop("loss"),
            "parts": parts,
            "lr": state.window.rate,
            "grad_norm": float(state.window.grad_norm),
            "tokens_per_second": state.window.tokens / max(seconds - state.window.since, 1e-9),
            "seconds": seconds,
        }
        state.window = Window(since=seconds)
        state.log.records.append(record)
        self.processes.on_main(lambda: state.log.write(record))
        if self.processes.main and self.hooks.on_log is not None:
            plan = {"total": state.plan.total, "minutes": self.settings.minutes}
            self.hooks.on_log({**record, **plan, "stage": state.stage, "eta": state.plan.left(state.step, seconds)})

    def _sample(self) -> None:
        with self.state.shown() as model:
            if self.processes.main and self.hooks.on_sample is not None:
                self.hooks.on_sample(model, self.state.step)

    def _check(self) -> None:
        """Score the model on validation; keep the best weights, and a checkpoint that refers to them."""
        state = self.state
        if self.hooks.on_check is None:
            return
        state.checked_step = state.step
        with state.shown() as model:
            score = self.hooks.on_check(model, state.step) if self.processes.main else math.nan
            score = self.processes.from_main(score)
            if self.processes.main:
                state.best.take(score, state.step, model.state_dict())
        state.best.load_state_dict(self.processes.from_main(state.best.state_dict()))
        if not state.best.misses:
            state.save()
