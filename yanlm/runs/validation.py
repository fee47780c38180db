"""Training on a task: its rows, its score on validation while it trains, its evaluation at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanlm.data.corpus import Corpus, load_corpus
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.portions import repeated, sample
from yanlm.evaluation.predictions import write_predictions
from yanlm.evaluation.report import evaluate
from yanlm.runs.settings import ALL, RunSettings
from yanlm.tasks.rows import load_task
from yanlm.tasks.task import get_task
from yanlm.tokenization.masking import Masking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REPORTED = 300
"""Default number of held-out rows of a report; texts are repeated up to it."""

EVALUATED = 0.25
"""Most time of the evaluation at the end, as a share of the training before it, if the number of rows is not given."""


def run_corpus(settings: RunSettings, say: Callable[[str], None]) -> Corpus:
    """The corpus of a run: rows of its task, or all that its data holds."""
    named: dict[str, Any] = {"weights": settings.weights, "text_column": settings.text_column, "on_note": say}
    if settings.task is None:
        if settings.source_field is not None or settings.target_field is not None:
            raise ValueError(
                "source_field and target_field go with a task: set task, or name the text with text_column"
            )
        return load_corpus(settings.data, **named)
    fields: dict[str, Any] = {"source_field": settings.source_field, "target_field": settings.target_field}
    return load_task(settings.data, settings.task, **named, **fields)


def validation_score(
    settings: RunSettings,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    hear: Callable[[int, str, float], None] = lambda step, name, score: None,
) -> Callable[[Any, int], float] | None:
    """The task's score on a sample of the validation rows; early stopping looks at it every ``check_every`` steps."""
    from yanlm.modeling.build import make_builder

    if settings.task is None or settings.check_every is None:
        return None
    task, rows = get_task(settings.task), sample(corpus.validation, settings.check_rows)
    if not rows:
        raise ValueError(f"early stopping needs validation rows, and {corpus.name} has none; add validation.jsonl")

    def score(model: Any, step: int) -> float:
        steps = (2,) if model.can.refine else (1,)
        builder = make_builder(model, tokenizer, Masking())
        report = evaluate_task(model, builder, [], rows, task, steps=steps).report
        scores = next(iter(report["by_steps"].values()))
        name = task.stops_on
        if "rouge" in name.lower() and name not in scores:  # it reads no reference
            name = next((other for other in task.main if other in scores), name)
        if name not in scores:
            raise ValueError(f"task {task.name} stops on {task.stops_on}, and this model's rows have no such score")
        hear(step, name.replace("_", " "), float(scores[name]))
        return float(scores[name])

    return score


def evaluation_seconds(settings: RunSettings, trained: float) -> float | None:
    """Time of the evaluation after this many seconds of training; ``None`` if the settings give the number of rows.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> evaluation_seconds(resolve({"minutes": 1}), 60.0)
        15.0
    """
    return max(1e-3, EVALUATED * trained) if settings.eval_rows is None else None


def baseline_seconds(settings: RunSettings, trained: float) -> float | None:
    """The part of that time in which baselines learn; ``None`` if all rows are evaluated; then they learn from all rows
    too.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> baseline_seconds(resolve({"minutes": 1}), 60.0), baseline_seconds(resolve({"eval_rows": "all"}), 60.0)
        (3.0, None)
    """
    return None if settings.eval_rows == ALL else max(1e-3, 0.2 * EVALUATED * trained)


def evaluation_rows(settings: RunSettings, held_out: int) -> int | None:
    """How many rows are filled at the end, of so many; ``None`` if the settings leave it to the time.

    Example:
        >>> from yanlm.runs.settings import resolve
        >>> evaluation_rows(resolve({"eval_rows": 40}), 1000), evaluation_rows(resolve({"eval_rows": "all"}), 1000)
        (40, 1000)
    """
    if settings.eval_rows is None:
        return None
    most = held_out if settings.eval_rows == ALL else int(settings.eval_rows)
    return most if settings.task is None else min(most, held_out) + min(most, REPORTED)  # also as a report of texts


def report(
    settings: RunSettings,
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    flow: bool,
    **limits: Any,
) -> dict[str, Any]:
    """What the model has learned, on held-out rows masked as in the paper (5 to 10% in spans of 1 to 3).

    Limits are the time and the listener of :func:`yanlm.evaluation.report.evaluate`.
    """
    from yanlm.modeling.build import make_builder

    builder = make_builder(model, tokenizer, Masking())
    rows: Sequence[Mapping[str, Any]] = corpus.test or corpus.validation
    most = REPORTED if settings.eval_rows in (None, ALL) else int(settings.eval_rows or 0)
    if settings.task is not None:  # it has an evaluation of its own
        rows = repeated(rows, min(most, REPORTED))
    elif settings.eval_rows != ALL:
        rows = repeated(rows, most)
    return evaluate(model, builder, corpus.rows or corpus.validation, rows, flow=flow, **limits)


def final_evaluation(
    settings: RunSettings,
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    out: Path,
    *,
    seconds: float | None = None,
    baseline_seconds: float | None = None,
    hear: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Evaluate on the test rows; predictions go to ``predictions.jsonl``.

    Args:
        settings: Settings of the run; they say how many rows.
        model: The trained model.
        tokenizer: Its tokenizer.
        corpus: Its data.
        out: Folder of the run.
        seconds: Time for filling rows, where the settings do not say how many.
        baseline_seconds: Time in which baselines learn from training rows.
        hear: Called with how many rows of how many are done.
    """
    from yanlm.modeling.build import make_builder

    assert settings.task is not None
    rows, limit = corpus.test or corpus.validation, settings.eval_rows
    builder = make_builder(model, tokenizer, Masking())
    evaluation = evaluate_task(
        model,
        builder,
        corpus.rows or [],
        rows,
        settings.task,
        data=corpus.name,
        limit=limit if isinstance(limit, int) else None,
        seconds=seconds,
        baseline_seconds=baseline_seconds,
        hear=lambda stage, done, total: hear(done, total),
    )
    write_predictions(out / "predictions.jsonl", evaluation.predictions)
    return evaluation.report
