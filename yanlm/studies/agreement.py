"""Do words that are written at once agree? Puzzles whose answers can be checked, by every way of writing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moefm.checks import check_count, check_positive
from yanlm.data.builtin.puzzle import Puzzle
from yanlm.data.builtin.puzzles import puzzle
from yanlm.data.parallel_bench import parallel_bench_rows
from yanlm.files import write_json
from yanlm.studies.tools.agreement_methods import (
    METHODS,
    can_of,
    chosen,
    generation_of,
    options_of,
    plan_of,
    trained_by,
)
from yanlm.studies.tools.agreement_page import (
    SCORES,
    agreement_document,
    agreement_figure,
    joined,
    score_table,
    training_figure,
    training_table,
)
from yanlm.studies.tools.agreement_texts import judged
from yanlm.studies.tools.agreement_training import Trainer, training_key
from yanlm.studies.tools.study import Json, Study, integers, over_seeds

DOCUMENT = "agreement.json"
LOOK = 4
"""Largest number of steps T at which trainings are looked at."""


def agreement_study(
    study: Study,
    task: str,
    *,
    only: Sequence[str] = (),
    steps: Sequence[int] = (1, 2, 3, 4, 8, 16),
    minutes: float | None = None,
    train_steps: int | None = None,
    seeds: Sequence[int] = (0,),
    rows: int = 200,
    samples: int = 8,
    test: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Json:
    """Train every method on a puzzle for the same time, and judge what it writes into unseen rows.

    Beside the page there is ``agreement.json``: by method and number of steps T (token by token: of passes) ``valid``,
    ``entropy`` and ``nfe``, the median over seeds, and the factorized bound: the score of a writer who draws every word
    independently from its exact distribution. (A writer who always gives the same answer can be above it, at an entropy
    of 0.)

    Args:
        study: Its folder, which also holds the trained models.
        task: Name or spec of a puzzle (:func:`yanlm.data.builtin.puzzles.puzzle`).
        only: Names of the methods (:data:`yanlm.studies.tools.agreement_methods.METHODS`); by default those that are
            not marked as run only on request.
        steps: Numbers of steps T.
        minutes: Training time of each model; by default as the task's plan says.
        train_steps: Instead of it, optimizer steps of each model.
        seeds: Seeds of weights and training.
        rows: Test rows.
        samples: Texts for each.
        test: Folder of ParallelBench's test rows (:func:`yanlm.data.parallel_bench.parallel_bench_rows`), which are
            judged in place of the puzzle's own.
        options: Settings that all trainings share (:func:`yanlm.runs.settings.resolve`), and under ``methods`` tables
            for single ones.
        device: Where models are trained.

    Raises:
        ValueError: A name, a number or an option is wrong.
    """
    target, names = puzzle(task), chosen(only)
    counts, seeds = integers("steps", steps), integers("seeds", seeds, 0)
    check_count("rows", rows)
    check_count("samples", samples, 2)
    plan, shared = plan_of(target.name), dict(options or {})
    if train_steps is not None and minutes is not None:
        raise ValueError("give minutes or train_steps, not both")
    if train_steps is None:
        minutes = check_positive("minutes", plan.minutes if minutes is None else minutes)
    else:
        check_count("train_steps", train_steps, 2)
    look = max([count for count in counts if count <= LOOK], default=counts[0])
    trainer = Trainer(study, target, plan, shared, minutes, train_steps, look, device)
    trained = list(dict.fromkeys(trained_by(name) for name in names))
    for name in trained:
        trainer.settings(name, seeds[0])  # mistakes, before anything is trained
    asked = target.rows("test", rows) if test is None else parallel_bench_rows(test, target)[:rows]
    study.begin({
        "task": target.spec, "minutes": minutes, "train_steps": train_steps, "rows": rows, "samples": samples,
        **({} if test is None else {"test": str(test)}),
        "models": {name: options_of(name, plan, shared) for name in trained},
    })  # fmt: skip
    results: dict[str, list[Json]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            results[name].append(_scores(trainer, name, seed, counts, asked, samples))
    training = {name: [study.pieces[training_key(name, seed)] for seed in seeds] for name in trained}
    bound = target.bound if test is None else target.bounds([row["source"] for row in asked])["valid"]
    return _finish(study, target, (len(asked), bound), joined(results), training, counts, look, over_seeds(seeds))


def _scores(
    trainer: Trainer, name: str, seed: int, steps: Sequence[int], rows: Sequence[Mapping[str, Any]], samples: int
) -> Json:
    """Scores of a method's texts, by number of steps, or by passes if their number cannot be chosen."""
    can, study = can_of(name), trainer.study
    own = METHODS[name].steps
    counts = [own] if own else steps if can.refine else [1]
    turns = {count: f", T = {count}" if can.steps else "" for count in counts}
    keys = {count: f"{name}{turn}, seed {seed}" for count, turn in turns.items()}
    missing = [count for count, key in keys.items() if key not in study.pieces]
    if missing:
        named = trainer.model(trained_by(name), seed)
        assert named.builder is not None
        for count in missing:
            how = {"steps": count, "samples": samples, **generation_of(name, trainer.plan)}
            measured = judged(named.model, named.builder, trainer.puzzle, rows, **how)
            study.put(keys[count], measured)
            study.say(f"{keys[count]}: {measured['valid']:.3f} right, entropy {measured['entropy']:.3f}")
    pieces = {count: study.pieces[key] for count, key in keys.items()}
    return {str(count if can.steps else piece["nfe"]): piece for count, piece in pieces.items()}


def _finish(
    study: Study,
    target: Puzzle,
    judged_on: tuple[int, float],
    methods: Mapping[str, Any],
    training: Mapping[str, Sequence[Json]],
    steps: Sequence[int],
    look: int,
    seeds: str,
) -> Json:
    """Write everything; ``judged_on`` are the number of rows and their factorized bound."""
    settings, (rows, bound) = study.settings, judged_on
    length = f"{settings['minutes']:g} minutes" if settings["minutes"] else f"{settings['train_steps']} steps"
    units = "parts of a text" if target.by_parts else "whole texts"
    words = (
        f"`{target.spec}`: {rows} test rows, {settings['samples']} texts for each, {units} counted; "
        f"{length} of training for every model, {seeds}. Words written independently of one another are right in "
        f"{bound:.2g} of all cases. Entropy is that of the right answers, 1 for a perfect writer."
    )
    tables = {title: score_table(methods, score, steps) for score, title in SCORES.items()}
    tables["What was trained"] = training_table(training)
    document = agreement_document(target.name, target.spec, bound, methods, training)
    figures = {"": agreement_figure(methods, bound), "-training": training_figure(training, look, list(methods))}
    shown = study.finish("Agreement between words", words, tables, figures, document)
    write_json(study.out / DOCUMENT, document)
    return shown | {"files": shown["files"] | {"agreement": str(study.out / DOCUMENT)}}
