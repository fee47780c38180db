"""The curve of a run: ``log.jsonl``, one line a record, and the same numbers for trackers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from yanlm.files import write_text
from yanlm.training.checkpoints import reported
from yanlm.training.trackers import numbers, started

Record = dict[str, Any]


class RunLog:
    """Records of a stage, in memory and, once opened, in ``FOLDER/log.jsonl`` and in trackers.

    Args:
        folder: The stage's.
        trackers: Names of :mod:`yanlm.training.trackers`.

    Attributes:
        records: All so far, also those of earlier sessions.
    """

    def __init__(self, folder: Path, trackers: Sequence[str] = ()) -> None:
        self.folder, self.names = folder, tuple(trackers)
        self.records: list[Record] = []
        self._file: IO[str] | None = None
        self._trackers: list[Any] = []

    def open(self, step: int, tail: list[Record]) -> None:
        """Keep the file's lines up to ``step``, fill gaps from ``tail`` and go on from there."""
        path = self.folder / "log.jsonl"
        known = {record["step"]: record for record in [*tail, *read_log(path)] if record["step"] <= step}
        self.records = [known[key] for key in sorted(known)]
        with reported(self.folder, "writing the log"):
            write_text(path, "".join(json.dumps(record) + "\n" for record in self.records))
            self._file = path.open("a", encoding="utf-8")
        with contextlib.suppress(ImportError, OSError):  # the picture is a convenience
            self._trackers = started(self.names, self.folder, step)

    def write(self, record: Record) -> None:
        """Add a record to the files, if they are open."""
        if self._file is not None:
            with reported(self.folder, "writing the log"):
                self._file.write(json.dumps(record) + "\n")
                self._file.flush()
        for tracker in self._trackers:
            with contextlib.suppress(OSError):
                tracker.log(numbers(record), step=record["step"])

    def close(self) -> None:
        """Close the files."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        for tracker in self._trackers:
            with contextlib.suppress(OSError):
                tracker.finish()


class Window:
    """Sums since the last line of the log, kept on the device, with the learning rate and gradient of its last step.

    Attributes:
        rate: Learning rate of the last step; ``None`` before the first step, and if a checkpoint did not store it.
        grad_norm: Norm of its gradient.
    """

    def __init__(self, since: float = 0.0) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = self.tokens = 0
        self.since = since
        self.rate: float | None = None
        self.grad_norm: Tensor | float = 0.0

    def add(self, values: Mapping[str, Tensor], weight: float) -> None:
        """Add a micro-batch's loss and parts."""
        for name, value in values.items():
            value = value.detach().float() * weight
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def count(self, tokens: int, rate: float, grad_norm: Tensor) -> None:
        """Count a step."""
        self.steps, self.tokens = self.steps + 1, self.tokens + tokens
        self.rate, self.grad_norm = rate, grad_norm

    def means(self) -> dict[str, Tensor]:
        """Means over the steps."""
        return {name: value / self.steps for name, value in self.sums.items()}

    def state_dict(self) -> Record:
        """All but the sums, which the processes have to add up first."""
        last = {"lr": self.rate, "grad_norm": float(self.grad_norm)}
        return {"steps": self.steps, "tokens": self.tokens, "since": self.since, **last}

    @classmethod
    def of(cls, state: Record, device: torch.device) -> Window:
        """The window of a checkpoint."""
        window = cls(state["since"])
        window.steps, window.tokens = int(state["steps"]), int(state["tokens"])
        window.rate, window.grad_norm = state.get("lr"), state.get("grad_norm", 0.0)
        window.sums = {name: torch.tensor(value, device=device) for name, value in state["sums"].items()}
        return window


def read_log(path: Path) -> list[Record]:
    """The lines of a log that are whole: a kill may have cut the last one."""
    records = []
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and isinstance(record.get("step"), int):
                    records.append(record)
    return records
