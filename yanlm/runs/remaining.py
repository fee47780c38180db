"""Time that the later stages of a run will take."""

from __future__ import annotations

from yanlm.runs.settings import RunSettings
from yanlm.runs.validation import evaluation_seconds

ROW_COST = 6.0
"""An evaluated row in trained rows: some twenty passes forward over T = 1, 2, 3, 4, 8, of which a step takes three."""


def final_seconds(settings: RunSettings, rows: int | None, trained: float, step: int, left: float = 0.0) -> float:
    """Seconds of the evaluation at the end: its limit, or the time for that many rows at the pace of training.

    Args:
        settings: Settings of the run.
        rows: Rows that are evaluated; ``None`` if the time decides.
        trained: Seconds of the stage so far.
        step: Its steps so far.
        left: Its seconds to come.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> settings = resolve({"minutes": 10, "recipe1": {"batch_size": 10}, "recipe2": {"batch_size": 10}})
        >>> final_seconds(settings, None, trained=60.0, step=100, left=180.0)
        60.0
        >>> final_seconds(settings, 300, trained=60.0, step=100) == 300 * ROW_COST * 60 / (100 * 10)
        True
    """
    if rows is None:
        return evaluation_seconds(settings, trained + left) or 0.0
    batch = settings.recipe(settings.stages[-1]).batch_size
    return rows * ROW_COST * trained / max(1, step * batch)


def later_seconds(settings: RunSettings, stage: int, trained: float, step: int, rows: int | None = None) -> float:
    """Seconds of the stages behind a stage, each with its evaluation. An estimate, rather too high.

    A stage with given steps instead of minutes is assumed to be as fast as this one.

    Args:
        settings: Settings of the run.
        stage: The one that is being trained.
        trained: Its seconds so far.
        step: Its steps so far.
        rows: As for :func:`final_seconds`.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> settings = resolve({"minutes": 10})  # 4 minutes of stage 1, 6 of stage 2 with a quarter for the evaluation
        >>> later_seconds(settings, 1, trained=60.0, step=100) / 60
        7.5
    """
    total = 0.0
    for later in [other for other in settings.stages if other > stage]:
        minutes, steps = settings.stage_minutes(later), settings.steps1 if later == 1 else settings.steps2
        seconds = 60 * minutes if minutes is not None else (steps or 0) * trained / max(1, step)
        pace = (trained, step) if rows is not None else (0.0, 1)
        total += seconds + final_seconds(settings, rows, *pace, left=seconds)
    return total
