"""A text to fill, and its result."""

from __future__ import annotations

from typing import NamedTuple

from yanlm.generation.options import GenerationOptions
from yanlm.generation.watching import Watched
from yanlm.writer import Written


class Job(NamedTuple):
    """One text to fill.

    Attributes:
        text: A text with masks, or one to continue.
        seed: Seed of its random numbers.
        length: Tokens for each mask, as in :meth:`yanlm.Writer.write`.
        options: Generation options.
        watching: Whether every pass is wanted.
        field: The field of the request that holds the text.
    """

    text: str
    seed: int
    length: str | int
    options: GenerationOptions
    watching: bool = False
    field: str = "text"

    @property
    def results(self) -> int:
        """Number of results to compute."""
        return self.options.samples * self.options.candidates

    def goes_with(self, other: Job) -> bool:
        """Whether both can be filled in one batch."""
        return (self.length, self.options, self.watching) == (other.length, other.options, other.watching)


class Answer(NamedTuple):
    """The result of a job.

    Attributes:
        written: The texts.
        watched: Every pass, where it was wanted.
        waited: Seconds in the queue.
        seconds: Seconds of the model, for the whole batch.
        together: Texts in the batch.
    """

    written: Written
    watched: Watched | None
    waited: float
    seconds: float
    together: int
