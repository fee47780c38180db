"""A whole training run: data, tokenizer, both stages, and an honest report at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from yanlm.data.corpus import Corpus
from yanlm.data.loader import RowStream
from yanlm.evaluation.report import evaluate, example_of, repeated
from yanlm.files import write_json, writing_to
from yanlm.modeling.build import make_builder
from yanlm.modeling.io import load_model, save_model
from yanlm.modeling.yan import YanModel
from yanlm.runs.presets import Recipe
from yanlm.runs.record import RUN_FILE, describe_corpus, read_log, run_head, samples_text
from yanlm.runs.settings import RunSettings
from yanlm.runs.setup import check_labels, make_tokenizer, stage_model
from yanlm.runs.validation import final_evaluation, run_corpus, validation_score
from yanlm.seeding import row_seed
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer
from yanlm.training.loop import TrainSettings, make_accelerator, train_stage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Listener:
    """Hears how a run goes; subclass it to show that. Only the main process calls it."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def stage(self, stage: int, model: YanModel, settings: RunSettings) -> None:
        """A stage begins."""

    def log(self, stage: int, record: dict[str, Any]) -> None:
        """A line of the log."""

    def sample(self, stage: int, step: int, example: dict[str, str]) -> None:
        """A held-out text as the model fills it now."""

    def check(self, step: int, name: str, score: float) -> None:
        """A score on validation rows."""


class BatchDraw:
    """Batches of one stage: rows of the corpus, masked and collated, with the rows' seeds."""

    def __init__(self, stream: RowStream, builder: Builder, seed: int, with_lengths: bool) -> None:
        self.stream, self.builder, self.seed, self.with_lengths = stream, builder, seed, with_lengths

    def next(self) -> tuple[dict[str, torch.Tensor], list[int]]:
        """The next batch of this process and its rows' seeds."""
        step = self.stream.step
        indexed = next(self.stream)
        seeds = [row_seed(self.seed, step, index) for index, _ in indexed]
        return self.builder.batch([row for _, row in indexed], seeds, with_lengths=self.with_lengths), seeds

    def state_dict(self) -> Any:
        """Where the stream stands."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Any) -> None:
        """Go on from there."""
        self.stream.load_state_dict(state)


def train(
    settings: RunSettings,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    command: str | None = None,
    listener: Listener | None = None,
) -> dict[str, Any] | None:
    """Train as ``settings`` say, into the folder ``out``; return what ``run.json`` then holds.

    ``out`` gets ``stage1`` and ``stage2`` (loadable models, their logs and checkpoints), ``tokenizer``, ``run.json``,
    ``losses.png`` and ``samples.txt``. Processes other than the first return ``None``.

    Raises:
        ValueError: A setting or the data is wrong, or ``out`` holds a run and ``resume`` is not set.
    """
    from yanlm.figures import loss_figure

    accelerator = make_accelerator(settings.precision, device)
    main = accelerator.is_main_process
    hear = (listener or Listener()) if main else Listener()
    began = time.time()
    if main:
        _claim(out, settings, resume, command)
    accelerator.wait_for_everyone()
    corpus = run_corpus(settings, hear.note)
    if main and not (out / "tokenizer" / "tokenizer.json").is_file():
        make_tokenizer(settings, corpus).save_pretrained(out / "tokenizer")
    accelerator.wait_for_everyone()
    tokenizer = load_tokenizer(out / "tokenizer")
    check_labels(settings, corpus, tokenizer)
    record = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
    record["data"] = describe_corpus(corpus)
    stages: dict[str, Any] = record.setdefault("stages", {})
    for stage in settings.stages:
        folder = out / f"stage{stage}"
        if (folder / "model.safetensors").is_file() and str(stage) in stages:
            hear.note(f"stage {stage} is finished already")
            continue
        model = stage_model(settings, stage, out, tokenizer)
        model.config.stage = stage  # from here on: what is being trained may be asked already
        hear.stage(stage, model, settings)
        result = _train_stage(model, stage, settings, corpus, tokenizer, folder, accelerator, hear, resume)
        if main:
            stages[str(stage)] = {"steps": result.steps, "seconds": round(result.seconds, 1), "tokens": result.tokens}
            if stage != settings.stages[-1]:  # what the decoder does alone, before there is a flow
                seen = report(settings, model, tokenizer, corpus, flow=False)
                stages[str(stage)] |= {name: seen[name] for name in ("one_pass", "reconstruction") if name in seen}
            save_model(folder, model, tokenizer, record)
            write_json(out / RUN_FILE, record)  # last: a stage counts as finished when its model is whole
        accelerator.wait_for_everyone()
    if not main:
        return None
    last = settings.stages[-1]
    model = load_model(out / f"stage{last}", str(accelerator.device))
    record["report"] = report(settings, model, tokenizer, corpus, flow=last == 2)
    if settings.task is not None:
        record["evaluation"] = final_evaluation(settings, model, tokenizer, corpus, out)
    record["report"]["stage1"] = {name: stages["1"][name] for name in ("one_pass",) if name in stages.get("1", {})}
    record["seconds"] = round(record.get("seconds", 0.0) + time.time() - began, 1)
    write_json(out / RUN_FILE, record)
    write_json(out / f"stage{last}" / RUN_FILE, record)
    logs = {stage: out / f"stage{stage}" / "log.jsonl" for stage in (1, 2)}
    found = {stage: read_log(path) for stage, path in logs.items() if path.is_file()}
    loss_figure(found, settings.baseline).savefig(out / "losses.png", dpi=120)
    (out / "samples.txt").write_text(samples_text(record["report"]), encoding="utf-8")
    return record


def _claim(out: Path, settings: RunSettings, resume: bool, command: str | None) -> None:
    """Write ``run.json`` before anything is trained, so that a run that dies can be resumed from its folder alone."""
    if (out / RUN_FILE).exists() and not resume:
        raise ValueError(f"{out} holds a run already; go on with it: --resume {out}, or choose another --out")
    with writing_to(out):
        if not resume:
            write_json(out / RUN_FILE, run_head(settings, command))


def _train_stage(
    model: YanModel,
    stage: int,
    settings: RunSettings,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    accelerator: Any,
    hear: Listener,
    resume: bool,
) -> Any:
    recipe = settings.recipe1 if stage == 1 else settings.recipe2
    stream = RowStream(
        corpus,
        recipe.batch_size // settings.accumulate,
        seed=settings.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        bucket=recipe.bucket,
    )
    builder = make_builder(model, tokenizer, recipe.masking, stage)
    with_lengths = stage == model.can.stages and not model.can.lengths  # the length head learns last
    draw = BatchDraw(stream, builder, row_seed(settings.seed, stage, 0), with_lengths)
    shown = (corpus.validation or corpus.test)[:1]
    watch = make_builder(model, tokenizer, Masking(), stage)

    def on_sample(current: YanModel, step: int) -> None:
        hear.sample(stage, step, example_of(current, watch, shown[0], flow=stage == 2))

    return train_stage(
        model,
        stage,
        draw,
        train_settings(settings, stage, recipe),
        folder,
        accelerator=accelerator,
        resume=resume,
        on_log=lambda record: hear.log(stage, record),
        on_sample=on_sample if shown else None,
        on_check=validation_score(settings, tokenizer, corpus, hear.check) if stage == settings.stages[-1] else None,
    )


def train_settings(settings: RunSettings, stage: int, recipe: Recipe) -> TrainSettings:
    """What the training loop needs to know of one stage."""
    return TrainSettings(
        steps=settings.steps1 if stage == 1 else settings.steps2,
        minutes=settings.stage_minutes(stage),
        batch_size=recipe.batch_size,
        accumulate=settings.accumulate,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        decay_all=recipe.decay_all,
        warmup=recipe.warmup,
        schedule=recipe.schedule,
        clip=recipe.clip,
        ema=recipe.ema,
        save_every=settings.save_every,
        log_every=settings.log_every,
        sample_every=settings.sample_every,
        check_every=settings.check_every,
        patience=settings.patience,
        seed=settings.seed,
        precision=settings.precision,
    )


def report(
    settings: RunSettings, model: YanModel, tokenizer: PreTrainedTokenizerFast, corpus: Corpus, flow: bool
) -> dict[str, Any]:
    """What the model learned, on held-out rows masked as in the paper (5 to 10% in spans of 1 to 3)."""
    builder = make_builder(model, tokenizer, Masking())
    # A task has an evaluation of its own, of as many rows as there are; texts would be repeated up to their number.
    most = settings.eval_rows if settings.task is None else min(settings.eval_rows, RunSettings.eval_rows)
    rows = repeated(corpus.test or corpus.validation, most)
    return evaluate(model, builder, corpus.rows or corpus.validation, rows, flow=flow)
