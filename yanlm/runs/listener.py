"""Receiving the progress of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel
    from yanlm.runs.settings import RunSettings


class Listener:
    """Receives the progress of a run. Subclass it to show the progress. Only the main process calls it."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def planned(self, rows: int | None) -> None:
        """How many held-out rows the evaluation at the end fills; ``None`` if the time decides. Called first."""

    def stage(self, stage: int, model: YanModel, settings: RunSettings) -> None:
        """A stage begins."""

    def step(self) -> None:
        """A step of training is over; called often, so be quick."""

    def log(self, stage: int, record: dict[str, Any]) -> None:
        """A line of the log."""

    def sample(self, stage: int, step: int, example: dict[str, Any]) -> None:
        """A held-out text as the model fills it now: an example of :func:`yanlm.evaluation.report.evaluate`."""

    def check(self, step: int, name: str, score: float) -> None:
        """A score on validation rows."""

    def evaluated(self, done: int, total: int) -> None:
        """Number of held-out rows evaluated so far, and how many there will be at this pace."""
