"""How long a stage trains and how its learning rate moves: settings, clock; constant, cosine, warm-up-stable-decay."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from moefm.checks import check_choice, check_count, check_positive
from yanlm.training.trackers import DEFAULT, check_trackers

SCHEDULES = ("constant", "cosine", "wsd")
OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("no", "bf16")
GRACE = 1.05  # share of the minutes after which a stage stops even if its decay is not over


@dataclass(frozen=True)
class TrainSettings:
    """How one stage is trained; steps or minutes, exactly one of them.

    Attributes:
        steps: Optimizer steps.
        minutes: Training time, counted over all resumes from the first step on.
        batch_size: Rows of one optimizer step, over all processes and micro-batches.
        accumulate: Micro-batches that one process adds up for one optimizer step.
        optimizer: ``adamw``, or ``muon``: Muon for the matrices of linear layers and AdamW for the rest.
        lr: Peak learning rate.
        betas: Betas of AdamW.
        weight_decay: Weight decay, multiplied by the learning rate.
        decay_all: Weight decay on every parameter (the paper's AdamW), not only on matrices.
        warmup: Steps of linear warm-up.
        schedule: ``constant``, ``cosine`` to 0, or ``wsd``: constant, then linear to 0 over the last share ``decay``.
        decay: Share of the decay. With ``minutes`` it begins when the rest of the time is used.
        clip: Largest gradient norm, or ``None``.
        ema: Decay of a float32 moving average of the weights, used at the end of the stage; ``None`` for none.
        save_every: Steps between two checkpoints, which is the most that a kill can lose.
        log_every: Steps between two lines of the log, each the mean since the last.
        sample_every: Steps between two calls of ``on_sample``; ``None`` for none.
        check_every: Steps between two calls of ``on_check``; ``None`` for none.
        patience: Checks without a better score after which the stage stops; ``None`` for never.
        seed: Seed of all random numbers that the model does not derive from the seeds of the rows (dropout).
        precision: ``no`` (float32) or ``bf16`` (autocast).
        log_with: Trackers of accelerate that get the numbers of the log, or ``none``.
        compile: Fuse the operations of the model's blocks with ``torch.compile``, which takes a minute or two.

    Raises:
        ValueError: A setting is out of range.

    Example:
        >>> TrainSettings(steps=100, batch_size=32, lr=1e-3).schedule
        'constant'
        >>> TrainSettings(steps=100, minutes=5, batch_size=32, lr=1e-3)
        Traceback (most recent call last):
        ValueError: give exactly one of steps and minutes, got steps=100 and minutes=5
    """

    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    decay_all: bool = False
    warmup: int = 1000
    schedule: str = "constant"
    decay: float = 0.25
    clip: float | None = 1.0
    ema: float | None = None
    save_every: int = 500
    log_every: int = 10
    sample_every: int | None = None
    check_every: int | None = None
    patience: int | None = None
    seed: int = 0
    precision: str = "no"
    compile: bool = False
    log_with: tuple[str, ...] = (DEFAULT,)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            given = f"steps={self.steps} and minutes={self.minutes}"
            raise ValueError(f"give exactly one of steps and minutes, got {given}")
        if self.steps is not None:
            check_count("steps", self.steps)
        if self.minutes is not None:
            check_positive("minutes", self.minutes)
        for name in ("batch_size", "accumulate", "save_every", "log_every"):
            check_count(name, getattr(self, name))
        check_count("warmup", self.warmup, minimum=0)
        check_count("seed", self.seed, minimum=0)
        for name in ("sample_every", "check_every", "patience"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        check_positive("lr", self.lr)
        if self.clip is not None:
            check_positive("clip", self.clip)
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"weight_decay must be finite and at least 0, got {self.weight_decay!r}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas!r}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must lie in (0, 1) or be None, got {self.ema!r}")
        if not 0 < self.decay < 1:
            raise ValueError(f"decay must lie in (0, 1), got {self.decay!r}")
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_trackers(self.log_with)
        object.__setattr__(self, "log_with", tuple(self.log_with))
        if not isinstance(self.compile, bool):
            raise ValueError(f"compile must be true or false, got {self.compile!r}")
        object.__setattr__(self, "betas", tuple(self.betas))  # a list from a settings file


class Clock:
    """Training time of a stage, over all sessions. It starts with the first step of this one.

    Args:
        before: Seconds of earlier sessions.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._before, self._started = before, math.nan

    def start(self) -> None:
        """Start counting, unless it has started already."""
        if math.isnan(self._started):
            self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self._before + (0.0 if math.isnan(self._started) else time.perf_counter() - self._started)


class Plan:
    """The progress of a stage: the learning-rate factor of a step, when to stop, how much is left.

    All processes ask it with the same step and the same seconds (those of the first process), so they agree.

    Attributes:
        total: Steps to do, ``None`` until known: with ``minutes`` and ``wsd`` it is fixed when the decay begins, as
            ``step / (1 - decay)``, from the pace so far.
        decay_from: The step from which ``wsd`` decays, ``None`` until known.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.budget = math.inf if settings.minutes is None else 60 * settings.minutes
        self.total = settings.steps
        self.decay_from = None if self.total is None else round(self.total * (1 - settings.decay))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed stage needs to know."""
        return {"total": self.total, "decay_from": self.decay_from}

    def load_state_dict(self, state: dict[str, Any], seconds: float) -> None:
        """Restore a plan, unless it has ``steps`` or more minutes have moved the start of its decay."""
        if self.settings.steps is None and seconds >= (1 - self.settings.decay) * self.budget:
            total, decay_from = state["total"], state["decay_from"]
            self.total = None if total is None else int(total)
            self.decay_from = None if decay_from is None else int(decay_from)

    def advance(self, step: int, seconds: float) -> None:
        """Begin the decay when its time has come."""
        late = seconds >= (1 - self.settings.decay) * self.budget
        if self.settings.schedule == "wsd" and self.total is None and late and step > 0:
            share = self.settings.decay / (1 - self.settings.decay)
            self.decay_from, self.total = step, step + max(1, round(step * share))

    def done(self, step: int, seconds: float) -> bool:
        """Whether the stage is over after ``step`` steps and ``seconds``."""
        if self.total is not None:
            return step >= self.total or seconds >= GRACE * self.budget
        return seconds >= self.budget and step > 0

    def factor(self, step: int, seconds: float) -> float:
        """Learning rate over ``lr`` for the step after ``step`` done ones."""
        warm = min(1.0, (step + 1) / max(1, self.settings.warmup))
        if self.settings.schedule == "cosine":
            return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, self._progress(step, seconds))))
        if self.settings.schedule == "wsd" and self.total is not None and self.decay_from is not None:
            left = (self.total - step) / (self.total - self.decay_from + 1)
            return min(warm, max(0.0, left))
        return warm

    def left(self, step: int, seconds: float) -> float | None:
        """Seconds to go at the pace so far, ``None`` before there is one."""
        rest = self.budget - seconds
        if self.total is not None:
            rest = (self.total - step) * seconds / step if step else math.inf
        return max(0.0, rest) if math.isfinite(rest) else None

    def _progress(self, step: int, seconds: float) -> float:
        if self.total is None:
            return seconds / self.budget
        warmup = min(self.settings.warmup, self.total - 1)
        return max(0, step - warmup) / (self.total - warmup)
