"""A text to fill, and what became of it."""

from __future__ import annotations

from typing import NamedTuple

from yanlm.generation.options import GenerationOptions
from yanlm.generation.watching import Watched
from yanlm.writer import Written


class Job(NamedTuple):
    """One text to fill.

    Attributes:
        text: With masks, or to be continued.
        seed: Of its randomness.
        length: Tokens behind each mask, as :meth:`yanlm.Writer.write` takes it.
        options: How it is filled.
        watching: Whether every pass is wanted.
    """

    text: str
    seed: int
    length: str | int
    options: GenerationOptions
    watching: bool = False

    @property
    def results(self) -> int:
        """Results that it takes to compute."""
        return self.options.samples * self.options.candidates

    def goes_with(self, other: Job) -> bool:
        """Whether both can be filled in one batch."""
        return self[2:] == other[2:]


class Answer(NamedTuple):
    """What became of a job.

    Attributes:
        written: The texts.
        watched: Every pass, where it was wanted.
        waited: Seconds until the model began.
        seconds: Of the model, for the whole batch.
        together: Texts of the batch.
    """

    written: Written
    watched: Watched | None
    waited: float
    seconds: float
    together: int
