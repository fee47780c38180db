"""What a task is: how its rows are made, what counts as right, how it is scored and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yanlm.data.rows import KINDS, Row

MakeRow = Callable[[Row, int], Row | None]
"""A row of the task from a row of data and a seed, or None to leave it out."""

Guesses = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], dict[str, list[str]]]
"""Answers to test rows by the name of the baseline, from training rows and test rows."""

TextMetric = Callable[[str, Sequence[str]], float]
"""A score in [0, 1] of what was written, given the texts that count as right."""


def no_guesses(train_rows: Sequence[Mapping[str, Any]], test_rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """No baseline that answers in words."""
    return {}


@dataclass(frozen=True)
class Task:
    """A task: everything that depends on the question asked.

    Attributes:
        name: Its name in commands and reports.
        kind: Kind of its rows, one of :data:`yanlm.data.rows.KINDS`.
        make_row: Makes a row of the task from a row of data.
        references: Texts that count as right for a row; ``None`` if the row's whole text is compared.
        metrics: Metrics of a row, in the order of reports: of :data:`yanlm.evaluation.scoring.METRICS`, or its own.
        main: Metrics with a bootstrap interval over the rows; studies compare the first.
        columns: Metrics in the command's table; the report holds more.
        stops_on: The metric that early stopping looks at.
        exact: The metric that says whether a row is right.
        own_metrics: The task's own metrics, by name.
        left_out: Why ``make_row`` leaves rows out, in words.
        from_texts: Whether its rows are made from texts. From questions it gets the contexts, each once, as ``text``.
        length_tells: Whether known answers may be recognized by their number of tokens; reports then say so.
        closed: Whether the answer is a label, which has to occur in the training rows.
        padded: Whether fine-tuning gives every answer as many slots as the longest needs.
        copying: Whether an untouched source, and the most frequent token in every slot, are baselines.
        guesses: Baselines that answer in words.
        training: Settings with which a fine-tuning on it starts, as :func:`yanlm.runs.settings.resolve` takes them.

    Raises:
        ValueError: The name is empty, the kind is unknown, or ``main``, ``exact`` or ``stops_on`` is not one of its
            metrics.
    """

    name: str
    kind: str
    make_row: MakeRow
    references: Callable[[Mapping[str, Any]], list[str]] | None
    metrics: tuple[str, ...]
    main: tuple[str, ...]
    columns: tuple[str, ...]
    stops_on: str
    exact: str = "exact_match"
    own_metrics: Mapping[str, TextMetric] = field(default_factory=dict)
    left_out: str = "its rows do not serve the task"
    from_texts: bool = False
    length_tells: bool = False
    closed: bool = False
    padded: bool = False
    copying: bool = False
    guesses: Guesses = no_guesses
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what can be checked without a row."""
        if not self.name:
            raise ValueError("a task must have a name")
        if self.kind not in KINDS:
            raise ValueError(f"task {self.name}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not self.main:
            raise ValueError(f"task {self.name}: main must name at least one metric")
        for where, names in (("main", self.main), ("exact", (self.exact,)), ("stops_on", (self.stops_on,))):
            for name in names:
                if name not in self.metrics:
                    raise ValueError(f"task {self.name}: {where} must be among {', '.join(self.metrics)}, got {name!r}")

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of its rows."""
        return KINDS[self.kind]

    @property
    def written(self) -> str:
        """Field of what is written; for texts the field of the whole text."""
        return self.fields[-1]

    @property
    def whole(self) -> bool:
        """Whether whole texts are compared, and not what was written into them."""
        return self.references is None
