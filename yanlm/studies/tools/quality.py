"""Quality of models on one task, kept piece by piece: what the studies of steps and of diversity share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moefm.checks import check_count
from yanlm.data.rows import Row
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.portions import repeated, rows_said, texts_of
from yanlm.generation.options import GenerationOptions
from yanlm.studies.tools.kept_settings import FINGERPRINTS
from yanlm.studies.tools.models import Named
from yanlm.studies.tools.study import Json, Say, Study
from yanlm.tasks.rows import load_task
from yanlm.tasks.task import Task, get_task

SHORT = {
    "masked_accuracy": "masked tokens right",
    "span_exact": "masked spans right",
    "exact_match": "exact match",
    "accuracy": "accuracy",
    "f1": "F1",
    "rouge1": "ROUGE-1",
    "rougeL": "ROUGE-L",
    "bert_score": "BERTScore F1",
}
"""Names of metrics on axes; others keep their own."""


@dataclass(frozen=True)
class TaskRows:
    """Rows of a task that models are compared on.

    Attributes:
        task: The task.
        metric: What counts as quality.
        train: Rows that baselines learn from.
        test: Held-out rows.
        data: Name of the data.
        settings: What decides the rows and the scores, for the settings of a study.
        options: Further options of :func:`yanlm.evaluation.evaluator.evaluate_task` that all models share.
    """

    task: str
    metric: str
    train: list[Row]
    test: list[Row]
    data: str
    settings: dict[str, Any]
    options: dict[str, Any]

    @property
    def metric_name(self) -> str:
        """The metric in words."""
        return SHORT.get(self.metric, self.metric.replace("_", " "))

    @property
    def description(self) -> str:
        """The metric and the rows, at the beginning of a sentence."""
        rows = f"{rows_said(len(self.test), len(set(texts_of(self.test))))} ({self.task}, {self.data})"
        return f"{self.metric_name[0].upper()}{self.metric_name[1:]} on {rows}"


def task_rows(
    specs: Sequence[str],
    task: str,
    rows: int,
    *,
    metric: str | None = None,
    text_column: str | None = None,
    source_field: str | None = None,
    target_field: str | None = None,
    say: Say | None = None,
    **options: Any,
) -> TaskRows:
    """Read data as a task's rows; of texts, ``rows`` held-out maskings, else at most so many rows.

    Args:
        specs: As :func:`yanlm.tasks.rows.load_task` takes them.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        rows: How many.
        metric: What counts as quality; by default the first of the task's main metrics that the options allow.
        text_column: Name of the text's column in files.
        source_field: Name of the field of the text or context.
        target_field: Name of the field of the answer or label.
        say: Called with notes about the data for the user.
        options: Options of :func:`yanlm.evaluation.evaluator.evaluate_task`.

    Raises:
        ValueError: Data, task or number are wrong.
    """
    check_count("rows", rows)
    chosen = get_task(task)
    known = metrics_of(chosen, **options)
    if metric is not None and metric not in known:
        raise ValueError(f"metric must be one of {', '.join(known)} for task {task}, got {metric!r}")
    metric = metric or next((name for name in chosen.main if name in known), chosen.main[0])
    named = {"source_field": source_field, "target_field": target_field}
    fields: dict[str, Any] = {name: field for name, field in named.items() if field is not None}
    corpus = load_task(list(specs), task, text_column=text_column, **fields, on_note=say)
    test = [dict(row) for row in repeated(corpus.test or corpus.validation, rows)]
    settings: Json = {"data": list(specs), "task": task, "metric": metric, "rows": rows, "text_column": text_column}
    settings |= fields
    settings[FINGERPRINTS] = {corpus.name: corpus.fingerprint}
    return TaskRows(task, metric, list(corpus.rows or []), test, corpus.name, settings | options, options)


def metrics_of(
    task: Task, *, length: str = "given", samples: int = 1, encoder: str | None = None, **others: Any
) -> list[str]:
    """Scores that an evaluation with these options can have; where ROUGE reads no reference it has fewer.

    Example:
        >>> metrics_of(get_task("classify"))[:2], metrics_of(get_task("infill"), length="predicted")[0]
        (['accuracy', 'macro_f1'], 'span_exact')
    """
    aligned = length == "given"  # slots and true tokens correspond
    names = [name for name in task.metrics if name != "valid_labels" and (aligned or name != "masked_accuracy")]
    names += ["macro_f1"] if task.closed else []
    names += ["bert_score"] if encoder is not None and not task.closed else []
    names += ["mean_error"] if task.kind == "qa" else []
    names += ["distinct_2", "self_bleu", "unique", "best_of"] if samples > 1 else []
    names += ["sem_dist"] if samples > 1 and encoder is not None else []
    return [*names, "nfe", "seconds", "tokens_per_second"]


def check_measured(rows: TaskRows, measured: Json) -> None:
    """Check that the rows have the score that counts as quality.

    Raises:
        ValueError: They have not; the line says which they have.
    """
    if rows.metric not in measured:
        known = ", ".join(name for name, value in measured.items() if isinstance(value, float))
        raise ValueError(f"metric must be one of {known} for these rows of task {rows.task}, got {rows.metric!r}")


def scores(
    study: Study, named: Named, rows: TaskRows, steps: Sequence[int], seed: int, **options: Any
) -> dict[int, Json]:
    """Scores of a model for every number of steps, and ``one pass`` and ``baselines`` among the study's pieces.

    A model that writes token by token, or all at once, has one entry, under 0.

    Raises:
        ValueError: The model cannot be evaluated so, or the metric is none of its scores.
    """
    counts = list(steps) if named.can.refine else [0]
    setting = ", ".join([named.label, *(f"{name} {value}" for name, value in options.items()), f"seed {seed}"])
    keys = {count: f"{setting}, T = {count}" if count else setting for count in counts}
    missing = [count for count in counts if keys[count] not in study.pieces]
    if missing:
        assert named.builder is not None
        first = "baselines" not in study.pieces
        report = evaluate_task(
            named.model, named.builder, rows.train if first else [], rows.test, rows.task,
            steps=[count or 1 for count in missing], seeds=[seed], data=rows.data, **rows.options, **options,
        ).report  # fmt: skip
        if first:
            study.put("baselines", report["baselines"])
        if "one_pass" in report:
            study.put(f"{named.label}, one pass", report["one_pass"])
        for count in missing:
            measured = report["by_steps"][str(count or 1)]
            study.put(keys[count], measured)
            check_measured(rows, measured)
            study.say(f"{keys[count]}: {rows.metric_name} {measured[rows.metric]:.3f}")
    measured_by = {count: study.pieces[keys[count]] for count in counts}
    for measured in measured_by.values():
        check_measured(rows, measured)
    return measured_by


def seeds_of(named: Named, seeds: Sequence[int], **options: Any) -> Sequence[int]:
    """Seeds that make a difference under these options of generation: one if nothing is drawn."""
    return seeds if named.can.draws(GenerationOptions(**options)) else seeds[:1]


def best_baseline(study: Study, metric: str) -> tuple[str, float] | None:
    """Name and score of the best baseline that has the metric."""
    values = {name: given[metric] for name, given in study.pieces.get("baselines", {}).items() if metric in given}
    return max(values.items(), key=lambda pair: pair[1]) if values else None
