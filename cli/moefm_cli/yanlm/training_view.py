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
from yanlm.files import pasted
from yanlm.runs.listener import Listener
from yanlm.training.checkpoints import CheckpointError
from yanlm.training.loop import DivergedError

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel
    from yanlm.runs.settings import RunSettings

QUIET_SECONDS = 15
"""Time between two lines where standard error is a file or a pipe."""
NAMES = {1: "stage 1: autoencoder", 2: "stage 2: flow"}
ROWS = "loss: plain, of rows with plain masks, as one pass; denoise, of rows with noise at the masks, under all experts"
STUDENT = "loss: distill, the distance of a student's steps from its teacher's; gate, that of its gate"
"""What the parts of the loss are where the encoder denoises: means over the slots."""


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes}:{rest:02d}"


def describe(record: dict[str, Any]) -> str:
    """One line of a record: the loss, its parts, the speed, the time left."""
    parts = "  ".join(f"{name} {value:.3g}" for name, value in record["parts"].items())
    left = f"  {duration(record['eta'])} left" if record.get("eta") is not None else ""
    return f"loss {record['loss']:.3f}  ({parts})  {record['tokens_per_second']:,.0f} tokens/s{left}"


class TrainingView(Listener, AbstractContextManager["TrainingView"]):
    """A live panel on a terminal, a line now and then elsewhere. Shows nothing of its own after it is left."""

    def __init__(self) -> None:
        self.live = Live(console=err, refresh_per_second=4, transient=True) if err.is_terminal else None
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[at]}")
        )
        self.task: Any = None
        self.line, self.example = Text(), Text()
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

    def stage(self, stage: int, model: YanModel, settings: RunSettings) -> None:
        """Name the stage and the model's size."""
        size = sum(p.numel() for p in model.parameters())
        name = NAMES[stage] if settings.kind is None else settings.kind
        name = f"baseline: {name}" if settings.baseline else name
        err.print(Text.assemble((name, "bold"), f"  {size / 1e6:.1f}M parameters"), soft_wrap=True)
        if settings.denoises:
            err.print(Text(STUDENT if settings.denoising.student_steps else ROWS, "dim"), soft_wrap=True)
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
        self.line = Text(describe(record))
        if self.live is None and time.monotonic() - self.spoke > QUIET_SECONDS:
            self.spoke = time.monotonic()
            err.print(f"step {record['step']}  {describe(record)}", soft_wrap=True)
        self._draw()

    def sample(self, stage: int, step: int, example: dict[str, str]) -> None:
        """Show a held-out text as it is filled now."""
        self.example = Text.assemble(
            ("masked  ", "dim"), _short(example["source"]), "\n", ("filled  ", "dim"), _short(example["filled"])
        )
        if self.live is None:
            err.print(f"  masked  {_short(example['source'], 160)}", soft_wrap=True)
            err.print(f"  filled  {_short(example['filled'], 160)}", soft_wrap=True)
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
        at = f"{done:,} of {total:,} rows" + (f"  {duration(left)} left" if left is not None else "")
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
    """A view of training into ``folder``; stopped early, it says to go on with it by ``resume``.

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


def _short(text: str, most: int = 400) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
