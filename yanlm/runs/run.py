"""A whole training run: data, tokenizer, both stages, and a report at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanlm.data.corpus import Corpus
from yanlm.data.rows import words_of
from yanlm.evaluation.report import example_of
from yanlm.files import replacing, sha256, write_json, write_text
from yanlm.modeling.build import make_builder
from yanlm.modeling.card import CARD_FILE, model_card
from yanlm.modeling.folder_options import OPTIONS_FILE
from yanlm.modeling.generation_config import YanGenerationConfig
from yanlm.modeling.io import WEIGHTS_FILE, load_model, save_model
from yanlm.modeling.yan import YanModel
from yanlm.runs.batches import stage_draw
from yanlm.runs.best_way import best_way
from yanlm.runs.claim import claimed
from yanlm.runs.head import write_head
from yanlm.runs.listener import Listener
from yanlm.runs.record import RUN_FILE, describe_corpus, is_finished, read_record, samples_text
from yanlm.runs.resuming import with_changes, with_data
from yanlm.runs.settings import RunSettings
from yanlm.runs.setup import check_answers, stage_model
from yanlm.runs.spans import longest_span
from yanlm.runs.validation import (
    baseline_seconds,
    evaluation_rows,
    evaluation_seconds,
    final_evaluation,
    report,
    run_corpus,
    validation_score,
)
from yanlm.tokenization.coverage import coverage_note
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer
from yanlm.training.checkpoints import reported
from yanlm.training.log import read_log
from yanlm.training.loop import StageResult, make_accelerator, train_stage

if TYPE_CHECKING:
    from accelerate import Accelerator


def train(
    settings: RunSettings,
    out: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    command: str | None = None,
    listener: Listener | None = None,
    corpus: Corpus | None = None,
    on_begin: Callable[[], None] = lambda: None,
) -> dict[str, Any] | None:
    """Train with ``settings`` into the folder ``out``; return the content of ``run.json``.

    ``out`` gets ``stage1`` and ``stage2`` (loadable models, their logs and checkpoints), ``tokenizer``, ``run.json``,
    ``losses.png`` and ``samples.txt``. Processes other than the first return ``None``.

    Args:
        settings: Settings from :func:`yanlm.runs.settings.resolve`.
        out: Folder of the run.
        resume: Continue the run in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        command: Command line for ``run.json``; by default the current one.
        listener: Receives the progress.
        corpus: The rows that the settings name, if they have been read already.
        on_begin: Called by the main process when a stage begins its steps, its checkpoint loaded.

    Raises:
        ValueError: A setting or the data is wrong, ``out`` holds a run and ``resume`` is not set, another process
            is training there, or a run that is finished is to have another rate or length.
        CheckpointError: The disk is full, or no checkpoint can be read.
        TypeError: ``settings`` is a dictionary, or something else that was not resolved.

    Example:
        >>> import tempfile
        >>> from yanlm import resolve
        >>> out = Path(tempfile.mkdtemp())
        >>> _ = (out / "rows.txt").write_text("\\n".join(f"a small text {i}" for i in range(40)))
        >>> sizes = {"denoiser": "encoder", "d_model": 16, "num_heads": 2, "encoder_layers": 1}
        >>> options = {"data": [str(out / "rows.txt")], "tokenizer": "words:60", "steps1": 2, "eval_rows": 4}
        >>> record = train(resolve(options | {"model": sizes}), out / "run", device="cpu")
        >>> record["stages"]["1"]["steps"], (out / "run" / "stage1" / "model.safetensors").is_file()
        (2, True)
    """
    if not isinstance(settings, RunSettings):
        raise TypeError(f"settings must be what yanlm.resolve makes of them, got a {type(settings).__name__}")
    accelerator = make_accelerator(settings.precision, device)
    main = accelerator.is_main_process
    hear = (listener or Listener()) if main else Listener()
    out, began = Path(out), time.time()
    with claimed(out, resume=resume) if main else contextlib.nullcontext():
        corpus = corpus or run_corpus(settings, hear.note)
        if main:
            write_head(settings, corpus, out, resume, command)
        accelerator.wait_for_everyone()
        run = _Run(settings, corpus, out, accelerator, hear, command, on_begin)
        if main and (note := coverage_note(run.tokenizer, map(words_of, corpus.rows or corpus.validation))):
            hear.note(note)
        for stage in settings.stages:
            run.train_stage(stage, resume)
            accelerator.wait_for_everyone()
        return run.finish(began) if main else None


class _Run:
    """Stages of a run that has a folder, and what is written about them."""

    def __init__(
        self,
        settings: RunSettings,
        corpus: Corpus,
        out: Path,
        accelerator: Accelerator,
        hear: Listener,
        command: str | None,
        on_begin: Callable[[], None],
    ) -> None:
        self.settings, self.corpus, self.out, self.accelerator, self.hear = settings, corpus, out, accelerator, hear
        self.tokenizer = load_tokenizer(out / "tokenizer")
        check_answers(settings, corpus, self.tokenizer, hear.note)
        hear.planned(evaluation_rows(settings, len(corpus.test or corpus.validation)))
        self.record = with_data(with_changes(read_record(out), settings, command), describe_corpus(corpus), out)
        self.on_begin = on_begin
        self.stages: dict[str, Any] = self.record.setdefault("stages", {})

    def train_stage(self, stage: int, resume: bool) -> None:
        """Train a stage and write its model, unless that is done."""
        folder = self.out / f"stage{stage}"
        if self._is_finished(stage, folder):
            self.hear.note(f"stage {stage} is finished already")
            return
        model = stage_model(self.settings, stage, self.out, self.tokenizer)
        model.config.stage = stage  # from here on the model in training can be used already
        self.hear.stage(stage, model, self.settings)
        result = self._trained(stage, model, folder, resume)
        if not self.accelerator.is_main_process:
            return
        entry: dict[str, Any] = {"steps": result.steps, "seconds": round(result.seconds, 1), "tokens": result.tokens}
        if stage != self.settings.stages[-1]:  # the decoder alone, before there is a flow
            seen = self._report(model, False, evaluation_seconds(self.settings, result.seconds))
            entry |= {name: seen[name] for name in ("one_pass", "reconstruction") if name in seen}
        self.stages[str(stage)] = entry
        with reported(folder, "writing the model"):
            save_model(folder, model, self.tokenizer, self.record)
            entry["sha256"] = sha256(folder / WEIGHTS_FILE)
            write_json(self.out / RUN_FILE, self.record)  # last: a stage counts as finished when its model is whole

    def _is_finished(self, stage: int, folder: Path) -> bool:
        finished, weights = is_finished(self.out, self.record, stage), folder / WEIGHTS_FILE
        if not finished and str(stage) in self.stages and weights.is_file():
            self.hear.note(f"{weights} is not as it was written: it is made again from the last checkpoint")
        return finished

    def _trained(self, stage: int, model: YanModel, folder: Path, resume: bool) -> StageResult:
        settings, tokenizer, hear = self.settings, self.tokenizer, self.hear
        builder = make_builder(model, tokenizer, settings.recipe(stage).masking, stage)
        seen = longest_span(builder, self.corpus.rows or self.corpus.validation)
        model.config.longest_span = max(model.config.longest_span, seen)
        with_lengths = stage == model.can.stages and not model.can.lengths  # the length head learns last
        shown = (self.corpus.validation or self.corpus.test)[:1]
        watch = make_builder(model, tokenizer, Masking(), stage)

        def on_sample(current: YanModel, step: int) -> None:
            hear.sample(stage, step, example_of(current, watch, shown[0], flow=stage == current.can.stages))

        score = validation_score(settings, tokenizer, self.corpus, hear.check)
        return train_stage(
            model,
            stage,
            stage_draw(settings, stage, self.corpus, builder, self.accelerator, with_lengths),
            settings.for_stage(stage),
            folder,
            accelerator=self.accelerator,
            resume=resume,
            on_begin=self._begun,
            on_step=hear.step,
            on_log=lambda record: hear.log(stage, record),
            on_sample=on_sample if shown else None,
            on_check=score if stage == settings.stages[-1] else None,
            on_note=hear.note,
        )

    def _begun(self) -> None:
        """Write down with what the run goes on, now that its checkpoint is loaded."""
        with reported(self.out, "writing the settings"):
            write_json(self.out / RUN_FILE, self.record)
        self.on_begin()

    def _report(self, model: YanModel, flow: bool, seconds: float | None) -> dict[str, Any]:
        given = (self.settings, model, self.tokenizer, self.corpus, flow)
        return report(*given, seconds=seconds, hear=self.hear.evaluated)

    def finish(self, began: float) -> dict[str, Any]:
        """Say what the model of the last stage learned; returns what ``run.json`` holds."""
        from yanlm.figures import loss_figure

        out, record, last = self.out, self.record, self.settings.stages[-1]
        model = load_model(out / f"stage{last}", str(self.accelerator.device))
        task, seconds = self.settings.task, evaluation_seconds(self.settings, self.stages[str(last)]["seconds"])
        most = None if seconds is None else seconds * (0.8 if task is None else 0.2)  # the rest is for scores
        record["report"] = self._report(model, last == model.can.stages, most)
        if task is not None:
            limits: dict[str, Any] = {
                "seconds": None if seconds is None else seconds * 0.5,
                "baseline_seconds": baseline_seconds(self.settings, self.stages[str(last)]["seconds"]),
            }
            given = (self.settings, model, self.tokenizer, self.corpus, out)
            record["evaluation"] = final_evaluation(*given, **limits, hear=self.hear.evaluated)
        first = self.stages.get("1", {})
        record["report"]["stage1"] = {name: first[name] for name in ("one_pass",) if name in first}
        record["report"]["way"] = way = best_way(record["report"], model.can)
        record["seconds"] = round(record.get("seconds", 0.0) + time.time() - began, 1)
        logs = {stage: out / f"stage{stage}" / "log.jsonl" for stage in (1, 2)}
        curves = {stage: read_log(path) for stage, path in logs.items() if path.is_file()}
        with reported(out, "writing the report"):
            write_json(out / RUN_FILE, record)
            write_json(out / f"stage{last}" / RUN_FILE, record)
            if way:
                write_text(out / f"stage{last}" / OPTIONS_FILE, YanGenerationConfig(**way).to_json_string())
            write_text(out / f"stage{last}" / CARD_FILE, model_card(model.config, record, f"{out.name}/stage{last}"))
            with replacing(out / "losses.png") as beside:
                loss_figure(curves, self.settings.kind).savefig(beside, dpi=120)
            write_text(out / "samples.txt", samples_text(record["report"]))
        return record
