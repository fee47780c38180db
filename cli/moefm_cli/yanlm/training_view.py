"""How ``yanlm train`` looks while it runs: loss parts, speed, time left, and a text as the model fills it now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from moefm_cli import governor
from moefm_cli.common import Failure, UsageError, err
from moefm_cli.yanlm.loss_parts import explained
from moefm_cli.yanlm.mask_lines import mask_lines
from yanlm.files import pasted
from yanlm.runs.listener import Listener
from yanlm.runs.remaining import final_seconds, later_seconds
from yanlm.training.checkpoints import CheckpointError
from yanlm.training.loop import DivergedError

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel
    from yanlm.runs.settings import RunSettings

QUIET_SECONDS = 15
"""Time between two lines where standard error is a file or a pipe."""
NAMES = {1: "stage 1: autoencoder", 2: "stage 2: flow"}


def duration(seconds: float | None) -> str:
    """Seconds in words."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes}:{rest:02d}"


def describe(record: dict[str, Any], left: str = "") -> str:
    """One line of a record: the loss, its parts, the speed, and the time left in words."""
    parts = "  ".join(f"{name} {value:.3g}" for name, value in record["parts"].items())
    speed = f"{record['tokens_per_second']:,.0f} tokens/s"
    return "  ".join([f"loss {record['loss']:.3f}", f"({parts})", speed, *([left] if left else [])])


class TrainingView(Listener, AbstractContextManager["TrainingView"]):
    """A live panel on a terminal, a line now and then elsewhere. Shows nothing of its own after it is left."""

    def __init__(self) -> None:
        self.live = Live(console=err, refresh_per_second=4, transient=True) if err.is_terminal else None
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[at]}")
        )
        self.task: Any = None
        self.line, self.example = Text(), Text()
        self.settings: RunSettings | None = None
        self.rows: int | None = None  # that the evaluation at the end fills, where that is known
        self.explained = False  # whether the parts of this stage's loss are
        self.later = 0.0  # seconds of the stages behind this one
        self.spoke = 0.0
        self.evaluating = (0.0, 0, 0)  # when the first rows of an evaluation were done, how many, and how many by now

    def __enter__(self) -> TrainingView:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def note(self, text: str) -> None:
        """Print a line above the panel."""
        err.print(f"note: {text}", soft_wrap=True)

    def planned(self, rows: int | None) -> None:
        """Keep how many rows are evaluated at the end."""
        self.rows = rows

    def stage(self, stage: int, model: YanModel, settings: RunSettings) -> None:
        """Name the stage and the model's size."""
        size = sum(p.numel() for p in model.parameters())
        name = NAMES[stage] if settings.kind is None else settings.kind
        name = f"baseline: {name}" if settings.baseline else name
        err.print(Text.assemble((name, "bold"), f"  {size / 1e6:.1f}M parameters"), soft_wrap=True)
        self.settings, self.explained = settings, False
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(name, total=1.0, at="")
        self.line, self.example = Text("reading the first batches"), Text()
        self._draw()

    def step(self) -> None:
        """Adapt the number of threads to what else the machine does."""
        governor.look()

    def log(self, stage: int, record: dict[str, Any]) -> None:
        """Show a record."""
        elapsed, left = record["seconds"], record.get("eta")
        done = elapsed / (elapsed + left) if left is not None and elapsed + left > 0 else 0.0
        total = record.get("total")
        self.bar.update(self.task, completed=done, at=f"step {record['step']}" + (f" of {total}" if total else ""))
        line = describe(record, "" if left is None else self._left(stage, record))
        self.line = Text(line)
        if not self.explained:
            self.explained = True
            err.print(Text(explained(record["parts"]), "dim"), soft_wrap=True)
        if self.live is None and time.monotonic() - self.spoke > QUIET_SECONDS:
            self.spoke = time.monotonic()
            err.print(f"step {record['step']}  {line}", soft_wrap=True)
        self._draw()

    def _left(self, stage: int, record: dict[str, Any]) -> str:
        """How long the whole run still takes: this stage, the later ones, and all evaluations."""
        left, evaluation, pace = record["eta"], 0.0, (record["seconds"], record["step"])
        if self.settings is not None:
            self.later = later_seconds(self.settings, stage, *pace, rows=self.rows)
            if self.rows is None or stage == self.settings.stages[-1]:  # rows are given for the end alone
                evaluation = final_seconds(self.settings, self.rows, *pace, left=left)
        return f"{duration(left + self.later + evaluation)} left"

    def sample(self, stage: int, step: int, example: dict[str, Any]) -> None:
        """Show what is written into the masks of a held-out text now."""
        self.example = mask_lines(example["masks"])
        if self.live is None:
            err.print(self.example, soft_wrap=True)
        self._draw()

    def check(self, step: int, name: str, score: float) -> None:
        """Print a line above the panel."""
        err.print(f"validation, step {step}: {name} {score:.3f}", soft_wrap=True)

    def evaluated(self, done: int, total: int) -> None:
        """Show how far the evaluation is, with the time left."""
        now = time.monotonic()
        began, first, last = self.evaluating
        if done <= last or not last:  # another evaluation
            began, first = now, done
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task("evaluation", total=total, at="")
        self.evaluating = began, first, done
        left = (now - began) * (total - done) / (done - first) if done > first else None
        at = f"{done:,} of {total:,} rows" + (f"  {duration(left + self.later)} left" if left is not None else "")
        self.bar.update(self.task, completed=done, total=total, at=at)
        self.line, self.example = Text(), Text()
        if self.live is None and now - self.spoke > QUIET_SECONDS:
            self.spoke = now
            err.print(f"evaluation: {at}", soft_wrap=True)
        self._draw()

    def _draw(self) -> None:
        if self.live is not None:
            shown: list[Any] = [self.bar, self.line] + (
                [Panel(self.example, title="held out")] if self.example.plain else []
            )
            self.live.update(Group(*shown))


@contextmanager
def watched(resume: str, folder: Path) -> Iterator[TrainingView]:
    """A view of a training into ``folder``. If it is stopped early, it says how to continue with ``resume``.

    Raises:
        UsageError: A checkpoint cannot be written or read.
        Failure: The loss diverged.
    """
    try:
        with TrainingView() as view:
            yield view
    except KeyboardInterrupt:
        saved = any((folder / name).exists() for name in ("run.json", "plan.json"))
        end = (
            f"stopped and saved; go on with: {resume} {pasted(folder)}" if saved else "stopped; nothing was trained yet"
        )
        err.print(end, soft_wrap=True)
        raise
    except CheckpointError as error:
        raise UsageError(str(error)) from None
    except DivergedError as error:
        raise Failure(f"{error}: {resume} {pasted(folder)} --lr RATE") from None
