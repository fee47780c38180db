"""Table 1: every task and data set, the flow and every baseline, trained alike for the same time, over seeds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moefm.checks import check_positive
from yanlm.config import BASELINES
from yanlm.evaluation.evaluator import evaluate_task
from yanlm.modeling.build import make_builder, without_flow
from yanlm.modeling.io import load_model, model_folder
from yanlm.runs.finetuning import finetune_settings, pad_answers
from yanlm.runs.run import train
from yanlm.runs.settings import resolve
from yanlm.runs.validation import run_corpus
from yanlm.studies.tools.models import size_of
from yanlm.studies.tools.study import Json, Say, Study, integers
from yanlm.studies.tools.table_page import ONE_PASS_REREAD, REREAD, score_table, size_table, summary_of, table_figure
from yanlm.studies.tools.variants import laid_over
from yanlm.tasks.rows import load_task
from yanlm.tasks.task import get_task
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer

METHODS = ("flow", "vfm", *BASELINES)
_FIELDS = ("text_column", "source_field", "target_field")
_OBJECTIVES = ("stage1", "stage2")
_OWN = ("steps", "finetune", "methods")
_QUIET = 10**9


def table_study(
    out: Path,
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
    device: str = "cpu",
    page: Path | None = None,
    command: str = "",
    say: Say | None = None,
) -> Json:
    """Train every method on every set with every seed: first as ``yanlm train``, then as ``yanlm finetune``.

    A method is trained for ``first`` minutes on the texts of a set, or on ``text``, once for all sets, and fine-tuned
    on the task for ``second`` minutes, with early stopping. Test rows, masks and minutes are the same for all methods.

    Args:
        out: Folder of the study.
        sets: What to do on what: ``TASK=SPEC``, a task of :data:`yanlm.tasks.task.TASKS` and data that has it.
        methods: ``flow``, ``vfm`` (the flow with one expert), ``mlm``, ``mdlm``, ``gpt2``, ``bart``.
        text: Specs of the texts that models begin with; if there are none, each begins with its own set.
        first: Minutes of that, or steps of each stage where ``options`` has ``steps``.
        second: Minutes of fine-tuning, likewise.
        seeds: Of weights, training and noise.
        steps: Numbers of steps T; 1 is always among them.
        rows: Most test rows.
        options: Settings that all models share (:func:`yanlm.runs.settings.resolve`), ``stage1`` and ``stage2`` only
            the flows; beside these ``finetune``, what changes in the fine-tuning
            (:func:`yanlm.runs.finetuning.finetune_settings`), ``steps``, and ``methods``, by name the settings that one
            method has of its own, such as more layers.
        device: Where models are trained.
        page: Another place for the page.
        command: As it was typed.
        say: Hears how it goes.

    Raises:
        ValueError: A set, a method or an option is wrong.
    """
    asked = [_parted(one) for one in sets]
    if not asked:
        raise ValueError("no set named; give --set TASK=SPEC, as --set qa=builtin:rooms")
    if unknown := [name for name in methods if name not in METHODS]:
        raise ValueError(f"methods must be among {', '.join(METHODS)}, got {unknown[0]!r}")
    shared = dict(options or {})
    if unknown := [name for name in shared.get("methods", {}) if name not in METHODS]:
        raise ValueError(f"methods in the config must be among {', '.join(METHODS)}, got {unknown[0]!r}")
    counted, drawn = integers("steps", [1, *steps]), integers("seeds", seeds, 0)
    for name, value in (("first", first), ("second", second)):
        check_positive(name, value)
    settings = {"text": list(text), "first": first, "second": second, "steps": counted, "rows": rows, "options": shared}
    study = Study(out, "table", settings, command=command, say=say)
    trainer = _Trainer(out, shared, list(text), first, second, rows, counted, device)
    found: dict[str, dict[str, list[Json]]] = {}
    for seed in drawn:
        for task, spec in asked:
            for method in methods:

                def one(task: str = task, spec: str = spec, method: str = method, seed: int = seed) -> Json:
                    return trainer.result(task, spec, method, seed)

                runs = found.setdefault(f"{task}={spec}", {}).setdefault(method, [])
                runs.append(study.piece(f"{task}={spec}, {method}, seed {seed}", one))
    summary = {name: summary_of(name.partition("=")[0], runs, counted) for name, runs in found.items()}
    begun = f"on {', '.join(text)}" if text else "on its own set"
    length = f"{first:g} + {second:g} minutes" if "steps" not in shared else f"steps of {shared['steps']}"
    words = (
        f"Every model trained {length}, {begun} and then on the task; {len(drawn)} seed{'s' * (len(drawn) > 1)}: "
        "median and range. A flow's *one pass* is its decoder on its encoder's own states; *reread* is either "
        "reading what it wrote; *guess* is the best that takes no neural network. Masked diffusion takes as many steps "
        "as the longest flow."
    )
    tables = {"Scores": score_table(summary), "What was trained": size_table(found)}
    return study.finish("Tasks", words, tables, table_figure(summary), summary, page)


class _Trainer:
    """Trains and evaluates; models that all sets begin from are kept in ``OUT/begun``."""

    def __init__(
        self,
        out: Path,
        shared: Json,
        text: list[str],
        first: float,
        second: float,
        rows: int,
        steps: Sequence[int],
        device: str,
    ) -> None:
        self.out, self.text, self.rows, self.steps, self.device = out, text, rows, steps, device
        self.count = shared.get("steps")
        self.shared = {name: value for name, value in shared.items() if name not in _OWN}
        self.methods = shared.get("methods", {})
        self.finetune = dict(shared.get("finetune", {}))
        self.fields = {name: shared[name] for name in _FIELDS if name in shared}
        self.minutes = (first, second)

    def result(self, task: str, spec: str, method: str, seed: int) -> Json:
        """What a method reaches on a set, and what went into it."""
        name = f"{method}-seed{seed}"
        begun = self.out / "begun" / name if self.text else self.out / "run" / "first"
        if not self.text or not (begun / "done").is_file():
            self._begin(method, seed, self.text or [spec], begun)
        chosen = {
            "save_every": _QUIET,
            "sample_every": _QUIET,
            "eval_rows": 20,
            "seed": seed,
            **self.fields,
            **({"steps": self.count} if self.count else {"minutes": self.minutes[1]}),
            **self.finetune,
        }
        folder = self.out / "run" / "second"
        shutil.rmtree(folder, ignore_errors=True)
        settings = finetune_settings(begun, task, [spec], chosen)
        corpus = run_corpus(settings, lambda note: None)
        record = train(pad_answers(settings, corpus), folder, device=self.device, corpus=corpus)
        assert record is not None  # a single process
        kept = self._evaluated(folder, task, spec, seed)
        tuned = next(iter(record["stages"].values()))
        shutil.rmtree(self.out / "run")
        return kept | {"steps": tuned["steps"], "tokens": tuned["tokens"]}

    def _evaluated(self, run: Path, task: str, spec: str, seed: int) -> Json:
        """Scores on the test rows, and the model's size."""
        corpus = load_task([spec], task, **self.fields)
        folder = model_folder(run)
        model = load_model(folder, self.device)
        builder = make_builder(model, load_tokenizer(folder), Masking())
        test = (corpus.test or corpus.validation)[: self.rows]
        report = evaluate_task(
            model, builder, corpus.rows or [], test, task, steps=self.steps, seeds=[seed], data=corpus.name
        ).report
        kept: Json = {k: report[k] for k in ("data", "n", "by_steps", "one_pass", "baselines") if k in report}
        if len(self.steps) > 1 and model.can.reread:
            turns: Json = {"steps": [count for count in self.steps if count > 1], "seeds": [seed]}
            for name, one in ((REREAD, model), (ONE_PASS_REREAD, without_flow(model))):
                again = evaluate_task(one, builder, [], test, task, reread=one is model, **turns)
                kept[name] = again.report["by_steps"]
        return kept | {"parameters": size_of(model)}

    def _begin(self, method: str, seed: int, data: list[str], folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        kind = {} if method == "flow" else {"baseline": method}
        stages = (1,) if method in BASELINES else (1, 2)
        length: Json = {"minutes": self.minutes[0]}
        if self.count:
            length = {f"steps{stage}": self.count for stage in stages}
        quiet = {"save_every": _QUIET, "sample_every": _QUIET, "eval_rows": 20}
        without = _OBJECTIVES if method in BASELINES else ()
        shared = {name: value for name, value in self.shared.items() if name not in without}
        shared = laid_over(shared, self.methods.get(method, {}))
        options = laid_over(shared, kind | length | quiet | {"seed": seed, "data": data})
        train(resolve(options), folder, device=self.device)
        (folder / "done").touch()


def _parted(text: str) -> tuple[str, str]:
    task, mark, spec = text.partition("=")
    if not mark or not spec:
        raise ValueError(f"--set must be TASK=SPEC, as qa=builtin:rooms, got {text!r}")
    return get_task(task).name, spec
