"""Table 1: every task and data set, the flow and every baseline, trained in the same way and time, over seeds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from moefm.checks import check_count, check_positive
from yanlm.config import BASELINES
from yanlm.data.corpus import load_corpus
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.evaluation.portions import sample
from yanlm.evaluation.sentence_encoder import encoder_folder
from yanlm.modeling.build import without_flow
from yanlm.runs.baseline import encoder_denoises
from yanlm.runs.finetuning import finetune_settings, pad_answers
from yanlm.runs.settings import resolve
from yanlm.runs.validation import run_corpus
from yanlm.studies.tools.kept_settings import FINGERPRINTS
from yanlm.studies.tools.models import load_one, size_of
from yanlm.studies.tools.paper_table import METRICS, ONE_BY_ONE, SPEED, paper_scores, paper_table
from yanlm.studies.tools.study import COUNTED_STEPS, Json, Say, Study, integers, over_seeds
from yanlm.studies.tools.table_page import ONE_PASS_REREAD, REREAD, score_table, size_table, summary_of, table_figure
from yanlm.studies.tools.training import QUIET, train_anew
from yanlm.studies.tools.variants import laid_over
from yanlm.tasks.rows import load_task
from yanlm.tasks.task import get_task

TIMED = 20
"""Most test rows that are generated one by one for tokens a second."""

METHODS = ("flow", "vfm", *BASELINES)
_FIELDS = ("text_column", "source_field", "target_field")
_OBJECTIVES = ("stage1", "stage2", "denoising")
_OWN = ("steps", "finetune", "methods")


def table_study(
    study: Study,
    sets: Sequence[str],
    *,
    methods: Sequence[str] = METHODS,
    text: Sequence[str] = (),
    first: float = 4.0,
    second: float = 2.0,
    seeds: Sequence[int] = (0, 1, 2),
    steps: Sequence[int] = (1, 2, 3, 4, 8),
    rows: int = 1000,
    options: Mapping[str, Any] | None = None,
    encoder: str | None = None,
    device: str = "cpu",
) -> Json:
    """Train every method on every set with every seed: first as ``yanlm train``, then as ``yanlm finetune``.

    A method is trained for ``first`` minutes on the texts of a set, or on ``text``, once for all sets, and fine-tuned
    on the task for ``second`` minutes, with early stopping. Test rows, masks and minutes are the same for all methods.

    Args:
        study: Its folder.
        sets: Tasks with their data: ``TASK=SPEC``, a task of :data:`yanlm.tasks.task.TASKS` and data for it.
        methods: ``flow``, ``vfm`` (the flow with one expert), ``mlm``, ``mdlm``, ``gpt2``, ``bart``.
        text: Specs of the texts that models begin with; if there are none, each begins with its own set.
        first: Minutes of that, or steps of each stage where ``options`` has ``steps``.
        second: Minutes of fine-tuning, likewise.
        seeds: Seeds of weights, training and noise.
        steps: Numbers of steps T; 1 is always among them.
        rows: Most test rows.
        options: Settings that all models share (:func:`yanlm.runs.settings.resolve`), ``stage1``, ``stage2`` and
            ``denoising`` only the flows; beside these ``finetune``, what changes in the fine-tuning
            (:func:`yanlm.runs.finetuning.finetune_settings`), ``steps``, and ``methods``, by name the settings that one
            method has of its own, such as more layers.
        encoder: Folder of a sentence encoder for BERTScore, or ``auto``; without one it is left out.
        device: Where models are trained.

    Raises:
        ValueError: A set, a method or an option is wrong.
    """
    tasks, methods = list(dict.fromkeys(map(_parted, sets))), list(dict.fromkeys(methods))  # each once a seed
    if not tasks:
        raise ValueError("no set named; give --set TASK=SPEC, as --set qa=builtin:rooms")
    shared = dict(options or {})
    for where, names in (("methods", methods), ("methods in the config", shared.get("methods", {}))):
        if unknown := [name for name in names if name not in METHODS]:
            raise ValueError(f"{where} must be among {', '.join(METHODS)}, got {unknown[0]!r}")
    counts, seeds = integers("steps", [1, *steps]), integers("seeds", seeds, 0)
    for name, value in (("first", first), ("second", second)):
        check_positive(name, value)
    check_count("rows", rows)
    scorer = encoder_folder(encoder)
    settings: Json = {
        "text": list(text),
        "first": first,
        "second": second,
        "steps": counts,
        "rows": rows,
        "options": shared,
    }
    settings[FINGERPRINTS] = _fingerprints(tasks, text, {name: shared[name] for name in _FIELDS if name in shared})
    study.begin(settings | {"encoder": None if scorer is None else str(scorer)})
    trainer = _Trainer(study.out, shared, list(text), (first, second), rows, counts, scorer, device, study.say)
    results: dict[str, dict[str, list[Json]]] = {
        f"{task}={spec}": {name: [] for name in methods} for task, spec in tasks
    }
    for seed in seeds:
        for task, spec in tasks:
            for method in methods:
                result = partial(trainer.result, task, spec, method, seed)
                piece = study.piece(f"{task}={spec}, {method}, seed {seed}", result)
                results[f"{task}={spec}"][method].append(piece)
    summary = {name: summary_of(name.partition("=")[0], runs, counts) for name, runs in results.items()}
    begun = f"on {', '.join(text)}" if text else "on its own set"
    length = f"{first:g} + {second:g} minutes" if "steps" not in shared else f"steps of {shared['steps']}"
    words = (
        f"Every model trained {length}, {begun} and then on the task; {over_seeds(seeds)}. "
        "A flow's *one pass* is its decoder on its encoder's own states; *reread* is either "
        "reading what it wrote; *guess* is the best that takes no neural network. Masked diffusion takes as many steps "
        "as the longest flow."
    )
    tables = {"Scores": score_table(summary)}
    if scores := paper_scores(results, counts):
        tables["The paper's metrics"] = paper_table(scores, results)
        study.note("The paper's metrics are medians at the T that is best in the first of them, in percent")
        study.note("TPS are tokens written a second, one text at a time; the paper's model writes known tokens too")
        study.note(COUNTED_STEPS)
    if encoder is None and any(task in ("completion", "qa") for task, _ in tasks):
        study.note("BS-F1, BERTScore, is left out: it needs --encoder, a folder with a sentence encoder, or auto")
    tables["What was trained"] = size_table(results)
    return study.finish("Tasks", words, tables, table_figure(summary), summary)


class _Trainer:
    """Trains and evaluates; models that all sets start from are kept in ``OUT/begun``."""

    def __init__(
        self,
        out: Path,
        shared: Json,
        text: list[str],
        minutes: tuple[float, float],
        rows: int,
        steps: Sequence[int],
        encoder: str | Path | None,
        device: str,
        say: Say,
    ) -> None:
        self.out, self.text, self.rows, self.steps, self.device = out, text, rows, steps, device
        self.encoder, self.say = encoder, say
        self.count = shared.get("steps")
        self.shared = {name: value for name, value in shared.items() if name not in _OWN}
        self.methods = shared.get("methods", {})
        self.finetune = dict(shared.get("finetune", {}))
        self.fields = {name: shared[name] for name in _FIELDS if name in shared}
        self.minutes = minutes

    def result(self, task: str, spec: str, method: str, seed: int) -> Json:
        """What a method reaches on a set, and what went into it."""
        name = f"{method}-seed{seed}"
        begun = self.out / "begun" / name if self.text else self.out / "first"
        if not self.text or not (begun / "done").is_file():
            self._begin(method, seed, self.text or [spec], begun)
        length = {"steps": self.count} if self.count else {"minutes": self.minutes[1]}
        options = QUIET | {"eval_rows": 20, "seed": seed} | self.fields | length | self.finetune
        folder = self.out / "second"
        settings = finetune_settings(begun, task, [spec], options)
        corpus = run_corpus(settings, self.say)
        record = train_anew(pad_answers(settings, corpus), folder, self.device, corpus)
        scores = self._evaluated(folder, task, spec, seed)
        tuned = next(iter(record["stages"].values()))
        for own in (folder, *([] if self.text else [begun])):
            shutil.rmtree(own)
        return scores | {"steps": tuned["steps"], "tokens": tuned["tokens"]}

    def _evaluated(self, run: Path, task: str, spec: str, seed: int) -> Json:
        """Scores on the test rows, and the model's size."""
        corpus = load_task([spec], task, **self.fields)
        named = load_one(run, self.device)
        model, builder = named.model, named.builder
        assert builder is not None
        test = sample(corpus.test or corpus.validation, self.rows)
        report = evaluate_task(
            model, builder, corpus.rows or [], test, task, steps=self.steps, seeds=[seed], data=corpus.name,
            encoder=self.encoder,
        ).report  # fmt: skip
        scores: Json = {key: report[key] for key in ("data", "n", "by_steps", "one_pass", "baselines") if key in report}
        if len(self.steps) > 1 and named.can.reread:
            turns: Json = {"steps": [count for count in self.steps if count > 1], "seeds": [seed]}
            reread = evaluate_task(model, builder, [], test, task, reread=True, **turns)
            one_pass = evaluate_task(without_flow(model), builder, [], test, task, **turns)
            scores |= {REREAD: reread.report["by_steps"], ONE_PASS_REREAD: one_pass.report["by_steps"]}
        if (SPEED, "TPS") in METRICS.get(task, ()):
            alone = evaluate_task(model, builder, [], test[:TIMED], task, steps=self.steps, seeds=[seed], batch_size=1)
            scores[ONE_BY_ONE] = {count: result[SPEED] for count, result in alone.report["by_steps"].items()}
        return scores | {"parameters": size_of(model)}

    def _begin(self, method: str, seed: int, data: list[str], folder: Path) -> None:
        """Train a method before any task."""
        kind = {} if method == "flow" else {"baseline": method}
        without = _OBJECTIVES if method in BASELINES else ()
        shared = {name: value for name, value in self.shared.items() if name not in without}
        shared = laid_over(shared, self.methods.get(method, {}))
        stages = (1,) if method in BASELINES or encoder_denoises(shared) else (1, 2)
        length: Json = {"minutes": self.minutes[0]}
        if self.count:
            length = {f"steps{stage}": self.count for stage in stages}
        options = laid_over(shared, kind | length | QUIET | {"eval_rows": 20, "seed": seed, "data": data})
        train_anew(resolve(options), folder, self.device)
        (folder / "done").touch()


def _fingerprints(tasks: Sequence[tuple[str, str]], text: Sequence[str], fields: Json) -> dict[str, str]:
    """Fingerprints of the sets, and of the texts that models begin with."""
    prints = {f"{task}={spec}": load_task([spec], task, **fields).fingerprint for task, spec in tasks}
    column = fields.get("text_column")
    return prints | ({"text": load_corpus(list(text), text_column=column).fingerprint} if text else {})


def _parted(text: str) -> tuple[str, str]:
    task, mark, spec = text.partition("=")
    if not mark or not spec:
        raise ValueError(f"--set must be TASK=SPEC, as qa=builtin:rooms, got {text!r}")
    return get_task(task).name, spec
