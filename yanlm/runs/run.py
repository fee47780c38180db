"""A whole training run: data, tokenizer, both stages, and an honest report at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanlm.data.corpus import Corpus
from yanlm.data.rows import words_of
from yanlm.evaluation.held_out import repeated
from yanlm.evaluation.report import evaluate, example_of
from yanlm.files import write_json, writing_to
from yanlm.modeling.build import make_builder
from yanlm.modeling.io import load_model, save_model
from yanlm.modeling.yan import YanModel
from yanlm.runs.batches import stage_draw
from yanlm.runs.listener import Listener
from yanlm.runs.record import RUN_FILE, describe_corpus, read_log, run_head, samples_text
from yanlm.runs.settings import RunSettings
from yanlm.runs.setup import check_labels, make_tokenizer, stage_model
from yanlm.runs.validation import final_evaluation, run_corpus, validation_score
from yanlm.tokenization.coverage import coverage_note
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer
from yanlm.training.loop import make_accelerator, train_stage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def train(
    settings: RunSettings,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    command: str | None = None,
    listener: Listener | None = None,
    corpus: Corpus | None = None,
) -> dict[str, Any] | None:
    """Train as ``settings`` say, into the folder ``out``; return what ``run.json`` then holds.

    ``out`` gets ``stage1`` and ``stage2`` (loadable models, their logs and checkpoints), ``tokenizer``, ``run.json``,
    ``losses.png`` and ``samples.txt``. Processes other than the first return ``None``.

    Args:
        settings: Of :func:`yanlm.runs.settings.resolve`.
        out: Folder of the run.
        resume: Go on with what is in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        command: Kept in ``run.json``; by default what was typed.
        listener: Hears how it goes.
        corpus: The rows that the settings name, where they were read already.

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
    corpus = corpus or run_corpus(settings, hear.note)
    if main and not (out / "tokenizer" / "tokenizer.json").is_file():
        make_tokenizer(settings, corpus).save_pretrained(out / "tokenizer")
    accelerator.wait_for_everyone()
    tokenizer = load_tokenizer(out / "tokenizer")
    check_labels(settings, corpus, tokenizer)
    if main and (note := coverage_note(tokenizer, map(words_of, corpus.rows or corpus.validation))):
        hear.note(note)
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
    curves = {stage: read_log(path) for stage, path in logs.items() if path.is_file()}
    loss_figure(curves, settings.baseline).savefig(out / "losses.png", dpi=120)
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
    builder = make_builder(model, tokenizer, settings.recipe(stage).masking, stage)
    with_lengths = stage == model.can.stages and not model.can.lengths  # the length head learns last
    draw = stage_draw(settings, stage, corpus, builder, accelerator, with_lengths)
    shown = (corpus.validation or corpus.test)[:1]
    watch = make_builder(model, tokenizer, Masking(), stage)

    def on_sample(current: YanModel, step: int) -> None:
        hear.sample(stage, step, example_of(current, watch, shown[0], flow=stage == 2))

    return train_stage(
        model,
        stage,
        draw,
        settings.for_stage(stage),
        folder,
        accelerator=accelerator,
        resume=resume,
        on_log=lambda record: hear.log(stage, record),
        on_sample=on_sample if shown else None,
        on_note=hear.note,
        on_check=validation_score(settings, tokenizer, corpus, hear.check) if stage == settings.stages[-1] else None,
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
