"""Evaluation of a model of any kind on the held-out rows of a task, next to simple baselines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moefm.checks import check_count, check_positive
from yanlm.evaluation.aggregate import best_of, by_seed, by_task, diversity, macro_f1, mean_of, summary
from yanlm.evaluation.baselines import baseline_fills, learned_within, length_determines
from yanlm.evaluation.filling import Hear, fill_rows
from yanlm.evaluation.fills import Filled
from yanlm.evaluation.held_out import Row
from yanlm.evaluation.inference import BATCH
from yanlm.evaluation.items import Fill
from yanlm.evaluation.portions import texts_of
from yanlm.evaluation.predictions import record
from yanlm.evaluation.protocol import Protocol, model_facts, protocol
from yanlm.evaluation.scoring import Scorer, Sums, prediction, written
from yanlm.evaluation.semantic import BertScore, load_bert_score
from yanlm.generation.choices import known_answers
from yanlm.generation.options import GenerationOptions, generation_options
from yanlm.tasks.task import Task
from yanlm.tokenization.examples import Builder

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel


@dataclass(frozen=True)
class Evaluation:
    """The result of :func:`evaluate_task`.

    Attributes:
        report: JSON-able numbers.
        predictions: One record for each example, number of steps, seed and sample:
            :func:`yanlm.evaluation.predictions.record`.
    """

    report: dict[str, Any]
    predictions: list[dict[str, Any]] = field(repr=False)


def evaluate_task(
    model: YanModel,
    builder: Builder,
    train_rows: Sequence[Row],
    test_rows: Sequence[Row],
    task: str | Task,
    *,
    steps: Sequence[int] = (1, 2, 3, 4, 8),
    seeds: Sequence[int] = (0,),
    labels: str = "any",
    length: str = "given",
    encoder: str | Path | None = None,
    bert_layer: int | None = None,
    bert_baseline: float | str | Path | None = None,
    batch_size: int = BATCH,
    limit: int | None = None,
    seconds: float | None = None,
    baseline_seconds: float | None = None,
    data: str = "",
    hear: Hear = lambda stage, done, total: None,
    options: GenerationOptions | None = None,
    **keywords: Any,
) -> Evaluation:
    """Fill the masks of held-out rows and score what was written, as the task asks.

    Masks are the same for every model and seed. A seed decides the noise z0 and the draw of experts; for other methods
    it decides what is drawn at a temperature. Scores are means over seeds and samples. Intervals are over examples.

    Args:
        model: A trained model of any method.
        builder: Makes its examples (:func:`yanlm.modeling.build.make_builder`).
        train_rows: Rows of the task from which baselines learn; without them few baselines are available.
        test_rows: Held-out rows of the task (:func:`yanlm.tasks.rows.task_rows`).
        task: One of :data:`yanlm.tasks.task.TASKS`, or a task of your own.
        steps: Numbers of steps T; a method that writes token by token is run once, as ``1``.
        seeds: All rows are generated once for each seed; only for the first if nothing is random.
        labels: ``any``: a label is written like any text. ``known``: it is the most probable label of the training
            rows.
        length: ``given``: as many slots as the truth has tokens. ``predicted``: by the model. Answers of a model with
            ``pad_to`` end at the padding it writes, either way.
        encoder: Folder of a sentence encoder, for ``bert_score`` and ``sem_dist``.
        bert_layer: Its layer for ``bert_score`` (:class:`yanlm.evaluation.semantic.BertScore`).
        bert_baseline: Rescales ``bert_score``; a number below 1, or a table by layer.
        batch_size: Rows generated together.
        limit: Largest number of rows: a random sample, part of every larger one. Its rows keep their masks and noise.
        seconds: Time for filling: the sample grows until it is up. At least twenty rows are filled.
        baseline_seconds: Time in which baselines learn from training rows: again from larger and larger samples. The
            report says from how many rows (``baseline_rows``).
        data: Name of the data, for the report.
        hear: Called with a stage, the number of rows done, and their total.
        options: Generation options, without steps and seeds. With more than one sample the diversity is reported too.
        keywords: The same options by name, such as ``samples=2``; these override ``options``.

    Raises:
        ValueError: There are no rows or they do not fit the task, an option is out of range or not one of the model's,
            the flow is not trained, a package is missing, or ``builder`` has the tokenizer of another model.

    Example:
        >>> from yanlm.config import YanConfig
        >>> from yanlm.modeling.yan import YanModel
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> tokenizer = train_tokenizer(["a small text"], 260)
        >>> ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
        >>> config = YanConfig(vocab_size=len(tokenizer), d_model=16, num_heads=2, **ids)
        >>> rows = [{"text": "a small text"}] * 2
        >>> result = evaluate_task(YanModel(config), Builder(tokenizer, max_length=16), rows, rows, "infill", steps=[2])
        >>> list(result.report["by_steps"]), sorted(result.report["baselines"]), len(result.predictions)
        (['2'], ['copy_source', 'unigram'], 2)
    """
    plan = protocol(
        model,
        builder,
        task,
        steps=steps,
        seeds=seeds,
        options=generation_options(options, keywords),
        labels=labels,
        length=length,
        batch_size=batch_size,
    )
    limit = None if limit is None else check_count("limit", limit)
    seconds = None if seconds is None else check_positive("seconds", seconds)
    was_training = model.training
    model.eval()
    try:
        used = not plan.task.closed
        bert = load_bert_score(encoder, bert_layer, bert_baseline, device=str(model.device), used=used)
        evaluator = _Evaluator(model, builder, plan, train_rows, bert)
        evaluator.baseline_seconds = baseline_seconds
        return evaluator.run(test_rows, data, limit, seconds, hear)
    finally:
        model.train(was_training)


class _Evaluator:
    """One evaluation: what is asked, and the scorer that all numbers of steps share."""

    scorer: Scorer
    baseline_seconds: float | None = None

    def __init__(
        self, model: YanModel, builder: Builder, plan: Protocol, train: Sequence[Row], bert: BertScore | None
    ) -> None:
        self.model, self.builder, self.plan, self.train, self.bert = model, builder, plan, train, bert
        self.labels = [row[plan.task.written] for row in train] if plan.task.closed else []
        known = sorted({label.strip() for label in self.labels})
        self.choices = known_answers(builder, known) if plan.labels == "known" else None

    def run(self, rows: Sequence[Row], data: str, limit: int | None, seconds: float | None, hear: Hear) -> Evaluation:
        plan, began = self.plan, time.perf_counter()
        part: dict[str, Any] = {"limit": limit, "seconds": seconds, "hear": hear}
        self.items, filled = fill_rows(self.model, self.builder, plan, rows, choices=self.choices, **part)
        aligned = plan.length == "given"
        self.scorer = Scorer(plan.task, self.items, labels=self.labels, aligned=aligned, bert=self.bert)
        report = self._head(data) | {"rows": len(rows), "train_rows": len(self.train)}
        if plan.task.length_tells:
            differ, report["length_determines"] = length_determines(self.builder, self.items, plan.task, self.train)
            report["length_leaks"] = differ and aligned
        report["by_steps"], predictions = {}, []
        for number, steps in enumerate(plan.steps):
            seeds = filled[number * len(plan.seeds) : (number + 1) * len(plan.seeds)]
            report["by_steps"][str(steps)], records = self._result(seeds, steps)
            predictions += records
        if self.model.can.one_pass:
            report["one_pass"] = self._once([samples[0] for samples in filled[-1].fills])

        def guessed(train: Sequence[Row]) -> dict[str, list[Fill]]:
            return baseline_fills(self.builder, self.items, plan.task, train)

        guesses, report["baseline_rows"] = learned_within(self.baseline_seconds, self.train, guessed)
        report["baselines"] = {name: self._once(fills) for name, fills in guesses.items()}
        return Evaluation(report | {"seconds": time.perf_counter() - began}, predictions)

    def _head(self, data: str) -> dict[str, Any]:
        """What a report says of the task, the data, the model and the protocol."""
        plan, texts = self.plan, len(set(texts_of([item.row for item in self.items])))
        return {
            "task": plan.task.name,
            "data": data,
            "n": len(self.items),
            **({"texts": texts} if texts < len(self.items) else {}),
            "cut": sum(item.cut for item in self.items),
            "masked_tokens": sum(len(span) for item in self.items for span in item.truth),
            "model": model_facts(self.model),
            "length": plan.length,
            "samples": plan.options.samples,
            **({"labels": plan.labels} if plan.task.closed else {}),
            "seeds": list(plan.seeds),
            **plan.told,
            **({"bert_score": self.bert.settings} if self.bert is not None else {}),
        }

    def _result(self, filled: Sequence[Filled], steps: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Scores of one number of steps over all seeds and samples, and the predictions."""
        plan, samples = self.plan, range(self.plan.options.samples)
        fills = [[item_fills[j] for item_fills in run.fills] for run in filled for j in samples]
        runs = [self.scorer.score(run_fills) for run_fills in fills]
        timings = [run.timing for run in filled]
        seconds = sum(timing.seconds for timing in timings)
        scores = self._scores(fills, runs) | by_seed(plan.task, runs, len(samples))
        if len(samples) > 1:
            scores |= self._diversity(filled, runs)
        scores |= {
            "nfe": sum(timing.nfe for timing in timings) / len(timings),
            "seconds": seconds,
            "tokens_per_second": sum(timing.tokens for timing in timings) / max(seconds, 1e-9),
        }
        which = [(seed, sample) for seed in plan.seeds for sample in samples]
        records = [
            record(self.builder, item, plan.task, fill, sums, steps=steps, seed=seed, sample=sample)
            for (seed, sample), run_fills, run in zip(which, fills, runs, strict=True)
            for item, fill, sums in zip(self.items, run_fills, run, strict=True)
        ]
        return scores, records

    def _diversity(self, filled: Sequence[Filled], runs: Sequence[list[Sums]]) -> dict[str, float]:
        """Diversity within each seed's samples, the mean over seeds."""
        count, encoder = self.plan.options.samples, None if self.bert is None else self.bert.encoder
        seeds = []
        for number, run in enumerate(filled):
            scores = diversity([[written(fill) for fill in samples] for samples in run.fills], encoder)
            seeds.append(scores | {"best_of": best_of(self.plan.task, runs[number * count : (number + 1) * count])})
        return mean_of(seeds)

    def _once(self, fills: list[Fill]) -> dict[str, Any]:
        return self._scores([fills], [self.scorer.score(fills)])

    def _scores(self, fills: Sequence[list[Fill]], runs: Sequence[list[Sums]]) -> dict[str, Any]:
        """Means and intervals, and what is no mean over items: F1 by label, errors by bAbI task."""
        task, items = self.plan.task, self.items
        scores = summary(task, runs, texts_of([item.row for item in items]))
        if task.closed:
            truth = [item.references[0] for item in items]
            by_run = [macro_f1([prediction(task, fill) for fill in run_fills], truth) for run_fills in fills]
            scores["macro_f1"] = sum(by_run) / len(by_run)
        return scores | by_task(task, items, runs)
