"""``yanlm train``: train a model or a baseline, say what it learned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moefm_cli.common import (
    Device,
    Json,
    UsageError,
    command_line,
    given_options,
    keep_memory,
    need_extra,
    only_changeable,
    pick_device,
    print_json,
)
from moefm_cli.max_bytes import MaxBytes
from moefm_cli.yanlm import train_options as options
from moefm_cli.yanlm.config_file import table_of
from moefm_cli.yanlm.eval_rows import EvalRows, rows_setting
from yanlm.runs.claim import check_free

if TYPE_CHECKING:
    from yanlm.runs.settings import RunSettings

HELP = """Train a model, then report what it has learned. A flow behind its encoder has two stages, all others one.

\b
yanlm train                                   a tiny model on built-in text, 6 minutes
yanlm train --data stories.jsonl.gz --minutes 20
yanlm train --data builtin:rooms --batch-size 32    questions about small worlds
yanlm train --backbone mamba --experts 6 --objective consistent
yanlm train --denoiser encoder --data builtin:statements    words that have to agree
yanlm train --baseline gpt2                   a baseline, on the same data, for the same time
yanlm train --baseline gpt2 --init-from models/gpt2    a published model, trained further
yanlm train --resume runs/yanlm               continue after Ctrl-C, a crash or a full disk
yanlm train --resume runs/yanlm --lr 0.0003   the same with another rate, after the loss diverged
accelerate launch --num_processes 8 $(which yanlm) train --preset paper-transformer --data paper
"""


_PLAIN = (
    "preset",
    "data",
    "text_column",
    "baseline",
    "stage",
    "minutes",
    "steps1",
    "steps2",
    "tokenizer",
    "precision",
    "compile",
    "accumulate",
    "save_every",
    "log_every",
    "log_with",
    "seed",
)
"""Options that are settings of the same name."""


def train(
    ctx: typer.Context,
    preset: options.Preset = "tiny",
    baseline: options.Baseline = None,
    stage: options.Stage = "both",
    init: options.Init = None,
    init_from: options.InitFrom = None,
    config: options.Config = None,
    data: options.Data = None,
    text_column: options.TextColumn = None,
    tokenizer: options.Tokenizer = None,
    backbone: options.Backbone = None,
    denoiser: options.Denoiser = None,
    experts: options.Experts = None,
    prediction: options.Prediction = None,
    objective: options.Objective = None,
    ce: options.CE = None,
    minutes: options.Minutes = None,
    steps1: options.Steps1 = None,
    steps2: options.Steps2 = None,
    batch_size: options.BatchSize = None,
    bucket: options.Bucket = None,
    accumulate: options.Accumulate = None,
    lr: options.LearningRate = None,
    precision: options.Precision = None,
    compile: options.Compile = None,
    out: options.Out = None,
    resume: options.Resume = None,
    save_every: options.SaveEvery = None,
    log_every: options.LogEvery = None,
    log_with: options.LogWith = None,
    eval_rows: EvalRows = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    device: Device = "auto",
    max_bytes: MaxBytes = None,
    json_: Json = False,
) -> None:
    """Gather the settings, train, show the report."""
    need_extra()
    check_free(resume or out, resume=resume is not None)
    given = given_options(ctx)
    if resume is not None:
        changes = given | ({"eval_rows": rows_setting(eval_rows)} if "eval_rows" in given else {})
        settings = _resumed(resume, changes)
    else:
        typed: dict[str, Any] = {
            **{name: given.get(name) for name in _PLAIN},
            "eval_rows": rows_setting(eval_rows),
            "init": None if init is None else str(init),
            "init_from": None if init_from is None else str(init_from),
            "model": {"backbone": backbone, "denoiser": denoiser, "num_experts": experts, "prediction": prediction},
            "stage2": {"objective": objective, "ce": ce},
            "recipe1": {"batch_size": batch_size, "bucket": bucket, "lr": lr},
            "recipe2": {"batch_size": batch_size, "bucket": bucket, "lr": lr},
        }
        settings = _settings(typed, config)
    folder = resume or out or _unused(Path("runs/yanlm"))
    _train(settings, folder, resume is not None, device, json_)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Options that were given, tables without their empty entries."""
    trimmed = {k: _given(v) if isinstance(v, dict) else v for k, v in options.items()}
    return {k: v for k, v in trimmed.items() if v is not None and v != {}}


def _settings(options: dict[str, Any], config: Path | None) -> RunSettings:
    from yanlm.runs.baseline import encoder_denoises
    from yanlm.runs.settings import resolve

    laid = table_of(config)
    given = _given(options)
    if {"steps1", "steps2"} & given.keys():
        laid.pop("minutes", None)  # of the file: steps on the command line win over it
    if "minutes" in given:
        laid = {name: value for name, value in laid.items() if name not in ("steps1", "steps2")}
    last = given.pop("recipe2", {})
    for name, value in given.items():
        _lay(laid, name, value)
    denoises = encoder_denoises(laid)
    _check_effect(given, trunk=not denoises and laid.get("baseline") in (None, "vfm"))
    if last and not denoises:  # its one stage has a recipe already
        _lay(laid, "recipe2", last)
    return resolve(laid)


def _check_effect(given: dict[str, Any], trunk: bool) -> None:
    """Check that no option was typed of a stage that ``--stage`` leaves out, or of a trunk that there is not.

    Raises:
        UsageError: One was.
    """
    stage, typed = str(given.get("stage")), {*given, *given.get("stage2", {})}
    for name in {"1": ("steps2", "objective", "ce"), "2": ("steps1",)}.get(stage, ()):
        if name in typed:
            raise UsageError(f"--{name} is of the stage that --stage {stage} leaves out: leave out one of them")
    if "prediction" in given.get("model", {}) and not trunk:
        raise UsageError("--prediction is of a flow behind its encoder, which is not what is trained: leave it out")


def _lay(settings: dict[str, Any], name: str, value: Any) -> None:
    """Put an option on top of the settings of a file. A table that is something else there is reported by name."""
    table = settings.get(name, {})
    if not isinstance(value, dict):
        settings[name] = value
    elif isinstance(table, dict):
        settings[name] = {**table, **value}


def _resumed(folder: Path, given: dict[str, Any]) -> RunSettings:
    """Settings of the run in a folder, with what was given and may change."""
    from yanlm.runs.record import read_record
    from yanlm.runs.resuming import CHANGEABLE, resumed
    from yanlm.runs.settings import from_dict

    only_changeable(given, CHANGEABLE, "begin another run with --out")
    try:
        saved = from_dict(read_record(folder)["settings"])
    except ValueError as error:
        raise UsageError(f"--resume {folder}: {error}") from None
    return resumed(saved, {name: value for name, value in given.items() if name in CHANGEABLE})


def _unused(folder: Path) -> Path:
    """The first of runs/yanlm, runs/yanlm-2, ... that holds no run: a new run never overwrites an old one.

    Several processes could not agree on it while the first is writing, so they take the plain name, or fail.
    """
    from yanlm.runs.claim import is_free

    name, number = folder, 1
    while int(os.environ.get("WORLD_SIZE", "1")) == 1 and not is_free(name):
        number += 1
        name = folder.with_name(f"{folder.name}-{number}")
    return name


def _train(settings: RunSettings, folder: Path, resume: bool, device: str, json_: bool) -> None:
    from moefm_cli.yanlm.training_report import longer_command, show_report
    from moefm_cli.yanlm.training_view import watched
    from yanlm.runs.run import train as run

    keep_memory()
    command = command_line("yanlm")
    device = device if device == "auto" else pick_device(device)
    with watched("yanlm train --resume", folder) as view:
        record = run(settings, folder, resume=resume, device=device, command=command, listener=view)
    if record is None:
        return
    if json_:
        print_json(record)
        return
    show_report(record["report"], folder, None if resume else longer_command(command, settings))
