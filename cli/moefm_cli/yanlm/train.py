"""``yanlm train``: train a model or a baseline, say what it learned."""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from moefm_cli.common import (
    Device,
    Json,
    UsageError,
    command_line,
    err,
    keep_memory,
    labelled,
    need_extra,
    pick_device,
    print_json,
    show,
)
from yanlm.files import printable

if TYPE_CHECKING:
    from yanlm.runs.settings import RunSettings

HELP = """Train a model in two stages, then say what it learned.

\b
yanlm train                                   a tiny model on built-in text, 6 minutes
yanlm train --data stories.jsonl.gz --minutes 20
yanlm train --data builtin:rooms --batch-size 32    questions about small worlds
yanlm train --backbone mamba --experts 6 --objective consistent
yanlm train --baseline gpt2                   a baseline instead, on the same data, in as much time
yanlm train --baseline gpt2 --init-from models/gpt2    a published one, which goes on learning
yanlm train --resume runs/yanlm               go on after Ctrl-C, a crash, a full disk
accelerate launch --num_processes 8 $(which yanlm) train --preset paper-transformer --data paper
"""


def train(
    preset: Annotated[str, typer.Option(help="tiny, small, base, paper-transformer, paper-mamba.")] = "tiny",
    data: Annotated[
        list[str] | None,
        typer.Option(help="builtin:pydoc, builtin:rooms, a file, hf:NAME, paper; repeatable, SPEC@0.75 weighs it."),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text where it is not called text.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="gpt2, bart, mdlm, mlm or vfm (one expert) instead of the mixture flow.")
    ] = None,
    stage: Annotated[str, typer.Option(help="both, 1 (autoencoder) or 2 (flow).")] = "both",
    minutes: Annotated[float | None, typer.Option(help="Training time of all stages. Default: the preset's.")] = None,
    steps1: Annotated[int | None, typer.Option(help="Steps of stage 1, instead of --minutes.")] = None,
    steps2: Annotated[int | None, typer.Option(help="Steps of stage 2, instead of --minutes.")] = None,
    backbone: Annotated[str | None, typer.Option(help="transformer or mamba.")] = None,
    objective: Annotated[str | None, typer.Option(help="paper or consistent.")] = None,
    experts: Annotated[int | None, typer.Option(help="Experts K.")] = None,
    prediction: Annotated[str | None, typer.Option(help="velocity or data.")] = None,
    ce: Annotated[str | None, typer.Option(help="unrolled, onestep, rollout, mixture or posterior.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a step, over all processes.")] = None,
    bucket: Annotated[int | None, typer.Option(help="Steps whose rows are sorted by length together.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Micro-batches a step is split into.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate of both stages.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="bpe:SIZE, llama3, a folder, a file or a name.")] = None,
    precision: Annotated[str | None, typer.Option(help="no (float32) or bf16.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    device: Device = "auto",
    init: Annotated[Path | None, typer.Option(help="Model folder to begin from.")] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Folder of a published GPT-2 or BART that the baseline begins from.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the run. Default: runs/yanlm.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings; options here win over it.")] = None,
    json_: Json = False,
) -> None:
    """Gather the settings, train, show the report."""
    need_extra()
    given: dict[str, Any] = {
        "preset": None if preset == "tiny" else preset,
        "data": data,
        "text_column": text_column,
        "baseline": baseline,
        "stage": None if stage == "both" else stage,
        "minutes": minutes,
        "steps1": steps1,
        "steps2": steps2,
        "tokenizer": tokenizer,
        "precision": precision,
        "accumulate": accumulate,
        "save_every": save_every,
        "seed": seed,
        "init": None if init is None else str(init),
        "init_from": None if init_from is None else str(init_from.absolute()),
        "model": {"backbone": backbone, "num_experts": experts, "prediction": prediction},
        "stage2": {"objective": objective, "ce": ce},
        "recipe1": {"batch_size": batch_size, "bucket": bucket, "lr": lr},
        "recipe2": {"batch_size": batch_size, "bucket": bucket, "lr": lr},
    }
    if resume is not None:
        _only_resume(given, out, config)
    settings = _saved(resume) if resume is not None else _settings(given, config)
    folder = resume or out or Path("runs/yanlm")
    if out is None and resume is None:
        folder = _unused(folder)
    _train(settings, folder, resume is not None, device, json_)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Options that were given, tables without their empty entries."""
    trimmed = {k: _given(v) if isinstance(v, dict) else v for k, v in options.items()}
    return {k: v for k, v in trimmed.items() if v is not None and v != {}}


def _only_resume(options: dict[str, Any], out: Path | None, config: Path | None) -> None:
    if _given(options) or out is not None or config is not None:
        raise UsageError(
            "--resume takes every setting from the run it goes on with; give no others (but --device, --json)"
        )


def _settings(options: dict[str, Any], config: Path | None) -> RunSettings:
    from yanlm.runs.settings import resolve

    laid: dict[str, Any] = {}
    if config is not None:
        try:
            laid = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"--config {config}: {error}") from None
    given = _given(options)
    if {"steps1", "steps2"} & given.keys():
        laid.pop("minutes", None)  # of the file: steps on the command line win over it
    for name, value in given.items():
        laid[name] = {**laid.get(name, {}), **value} if isinstance(value, dict) else value
    return resolve(laid)


def _saved(folder: Path) -> RunSettings:
    from yanlm.runs.settings import from_dict

    try:
        return from_dict(json.loads((folder / "run.json").read_text(encoding="utf-8"))["settings"])
    except FileNotFoundError:
        raise UsageError(f"--resume {folder}: there is no run.json in it; give the --out folder of a run") from None
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"--resume {folder}: run.json cannot be used: {error}") from None


def _unused(folder: Path) -> Path:
    """The first of runs/yanlm, runs/yanlm-2, ... that holds no run: a new run never overwrites an old one.

    Several processes would not agree on it while the first is writing: they take the plain name, or fail.
    """
    name, number = folder, 1
    while int(os.environ.get("WORLD_SIZE", "1")) == 1 and (name / "run.json").exists():
        number += 1
        name = folder.with_name(f"{folder.name}-{number}")
    return name


def _train(settings: RunSettings, folder: Path, resume: bool, device: str, json_: bool) -> None:
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
    _show_report(record["report"], folder)


def _show_report(report: dict[str, Any], folder: Path) -> None:
    """A table of methods by measure, five examples, and where the files are."""
    from yanlm.generation.capabilities import CAPABILITIES

    for example in report["examples"]:
        err.print(labelled([("masked", example["source"]), ("filled", example["filled"])]), soft_wrap=True)
    names = {"masked_accuracy": "masked", "exact_match": "exact", "copied_accuracy": "copied"}
    rows: dict[str, dict[str, float]] = dict(report["baselines"])
    if one_pass := report.get("stage1", {}).get("one_pass"):
        rows["one pass, stage 1"] = one_pass
    if "one_pass" in report:
        rows["one pass"] = report["one_pass"]
    method = report.get("method", "flow")
    for steps, scores in report.get("by_steps", {}).items():
        rows[f"{method}, T = {steps}" if steps.isdigit() else f"{method}, token by token"] = scores
    columns = {**names, "rouge1": "ROUGE-1", "rougeL": "ROUGE-L"}
    columns = {score: name for score, name in columns.items() if any(score in scores for scores in rows.values())}
    title = f"{report['rows']} held-out rows, {report['masked_tokens']} masked tokens: share of them right, of rows"
    title += " with all right, of known tokens kept"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in columns.values():
        table.add_column(name, justify="right")
    for label, scores in rows.items():
        table.add_row(label.replace("_", " "), *(f"{scores[c]:.3f}" if c in scores else "" for c in columns))
    err.print(table)
    if "experts" in report:
        shares = " ".join(f"{share:.2f}" for share in report["experts"])
        err.print(f"experts    {shares}  ({report['effective_experts']:.1f} in effect)")
    if "reconstruction" in report:
        share = report["reconstruction"]
        err.print(f"stage 1    {share:.4f} of the tokens of whole texts survive encoding and decoding")
    show(f"model:   {folder}")
    stages = ", ".join(f"stage{number + 1}/" for number in range(CAPABILITIES[method].stages))
    show(f"more:    {folder}/run.json, losses.png, samples.txt, {stages}")
    if "by_steps" in report:
        prompt = f"{opening(report['examples'][0]['source'])} <mask>".strip()
        show(f"try:     {shlex.join(['yanlm', 'generate', '--model', str(folder), prompt])}")


def opening(text: str, most: int = 60) -> str:
    """Whole words from near the beginning of a masked text, for a command to paste.

    The first word is left out, since a text that was cropped begins inside one, and so are words that a terminal would
    not show as they are.
    """
    words = [word for word in text.split() if word == printable(word)]
    start = next((at for at, word in enumerate(words) if at and word[0].isalnum()), None)
    if start is None:  # a script without spaces, or nothing to begin with
        return words[0][:most] if words and words[0][0].isalnum() else ""
    return " ".join(words[start:])[: most + 1].rpartition(" ")[0] or words[start][:most]
