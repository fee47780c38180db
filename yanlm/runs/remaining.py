"""How long the stages of a run still take that come after the present one."""

from __future__ import annotations

from yanlm.runs.settings import RunSettings
from yanlm.runs.validation import evaluation_seconds


def later_seconds(settings: RunSettings, stage: int, trained: float, step: int) -> float:
    """Seconds of the stages behind a stage, each with its evaluation. An estimate, rather too high.

    An evaluation takes as much of its stage's time as it may; one of a given number of rows counts as nothing, since
    nobody knows. A stage whose steps are given and not its minutes is taken to be as fast as this one.

    Args:
        settings: Settings of the run.
        stage: The one that is being trained.
        trained: Its seconds so far.
        step: Its steps so far.

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
        total += seconds + (evaluation_seconds(settings, seconds) or 0.0)
    return total
