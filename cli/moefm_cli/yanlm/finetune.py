"""``yanlm finetune``: train a model on a task, stop early, say what it scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from moefm_cli.common import (
    Device,
    Json,
    UsageError,
    command_line,
    err,
    given_options,
    keep_memory,
    need_extra,
    only_changeable,
    pick_device,
    print_json,
    show,
)
from moefm_cli.max_bytes import MaxBytes
from moefm_cli.yanlm.eval_rows import EvalRows, rows_setting, score_cell
from moefm_cli.yanlm.generation_options import check_counts
from yanlm.files import pasted
from yanlm.runs.claim import check_free
from yanlm.tasks.task import TASKS

HELP = """Train a model on a task, keep the weights that are best on validation, and evaluate them on the test rows.

\b
yanlm finetune --model runs/yanlm --task qa --data squad/train.jsonl.gz --minutes 10
yanlm finetune --model runs/yanlm --task classify --data reviews.csv --source-field review --target-field stars
yanlm finetune --model runs/mlm --task infill --data stories.txt --seeds 3
yanlm finetune --resume runs/finetune            continue after Ctrl-C, a crash or a full disk
"""


CHANGEABLE = ("lr", "minutes", "steps", "eval_rows")
_COUNTS = ("seeds", "steps", "batch_size", "bucket", "check_every", "check_rows", "patience")


def finetune(
    ctx: typer.Context,
    model: Annotated[Path | None, typer.Option(help="Folder of a trained model of any kind.")] = None,
    task: Annotated[str | None, typer.Option(help=f"One of {', '.join(TASKS)}.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Data as for yanlm train; repeatable.")] = None,
    source_field: Annotated[
        str | None, typer.Option(help="Field of the text or context, if it has another name.")
    ] = None,
    target_field: Annotated[str | None, typer.Option(help="Field of the answer or label.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text, if it is not called text.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of runs, each with its own seed.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first run.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Longest training of a run, validation included. Default: 5.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Largest number of steps of a run, instead of --minutes.")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate. Default: the preset's (the paper's: 1e-5).")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a step.")] = None,
    bucket: Annotated[
        int | None,
        typer.Option(help="Steps whose rows are sorted by length together (32; of a stream 1)."),
    ] = None,
    check_every: Annotated[int, typer.Option(help="Steps between two validations.")] = 50,
    check_rows: Annotated[int, typer.Option(help="Rows used in a validation, a random sample.")] = 200,
    patience: Annotated[int, typer.Option(help="Stop after this many validations without a better score.")] = 10,
    pad_to: Annotated[
        int | None,
        typer.Option(help="Slots of every answer; 0 is as many as it has tokens. Default: labels are padded."),
    ] = None,
    experts: Annotated[
        int | None, typer.Option(help="Experts K; a number other than the model's starts a new flow.")
    ] = None,
    eval_rows: EvalRows = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder. Default: finetune-TASK in the model's folder.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the fine-tuning in this folder.")] = None,
    max_bytes: MaxBytes = None,
    json_: Json = False,
) -> None:
    """Gather the settings, train every seed, show the scores."""
    need_extra()
    check_free(resume or out, resume=resume is not None, finetuning=True)
    from moefm_cli.yanlm.training_view import watched
    from yanlm.runs.finetuning import finetune as run
    from yanlm.runs.finetuning import finetune_settings, read_plan
    from yanlm.runs.resuming import resumed

    keep_memory()
    check_counts({name: ctx.params[name] for name in _COUNTS})
    if resume is not None:
        given = given_options(ctx)
        only_changeable(given, CHANGEABLE, "begin another fine-tuning with --out")
        settings, seeds = read_plan(resume)
        changes = {name: value for name, value in given.items() if name in CHANGEABLE}
        if "eval_rows" in changes:
            changes["eval_rows"] = rows_setting(eval_rows)
        if "steps" in changes:
            changes[f"steps{settings.stages[-1]}"] = changes.pop("steps")
        settings = resumed(settings, changes)
        folder = resume
    else:
        if model is None or task is None or not data:
            raise UsageError("give --model DIR, --task TASK and --data SPEC, or --resume DIR")
        recipe = {"lr": lr, "batch_size": batch_size, "bucket": bucket}
        options: dict[str, Any] = {
            "source_field": source_field,
            "target_field": target_field,
            "text_column": text_column,
            "seed": seed,
            "minutes": minutes,
            "steps": steps,
            "check_every": check_every,
            "check_rows": check_rows,
            "patience": patience,
            "eval_rows": rows_setting(eval_rows),
            "recipe": {name: value for name, value in recipe.items() if value is not None},
            "model": {} if experts is None else {"num_experts": experts},
        }
        chosen = {name: value for name, value in options.items() if value is not None}
        settings = finetune_settings(model, task, data, chosen, padded=pad_to)
        folder = out or Path(model) / f"finetune-{task}"
    device = device if device == "auto" else pick_device(device)
    with watched("yanlm finetune --resume", folder) as view:
        summary = run(
            settings,
            seeds,
            folder,
            resume=resume is not None,
            padded_answers=pad_to is None,
            device=device,
            command=command_line("yanlm"),
            listener=view,
        )
    if summary is None:
        return
    if json_:
        print_json(summary)
        return
    _show(summary, folder)


def _show(summary: dict[str, Any], folder: Path) -> None:
    """Medians over the seeds, next to baselines without a model."""
    rows: dict[str, dict[str, Any]] = {name.replace("_", " "): scores for name, scores in summary["baselines"].items()}
    if "one_pass" in summary:
        rows["one pass"] = summary["one_pass"]
    method = summary["model"]["method"]
    rows |= {f"{method}, T = {steps}": scores for steps, scores in summary["by_steps"].items()}
    last = rows[list(rows)[-1]]
    columns = [
        name for name in last if f"{name}_range" in last and name not in ("seconds", "nfe", "tokens_per_second")
    ][:6]
    runs = f"median of {summary['runs']} runs, " if summary["runs"] > 1 else ""
    share = f"{summary['n']:,} of {summary['rows']:,}" if summary["n"] < summary["rows"] else f"all {summary['n']:,}"
    title = f"{share} test rows, {runs}± half of the 95% interval over rows"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for label, scores in rows.items():
        table.add_row(label, *(score_cell(scores, name) for name in columns))
    err.print(table)
    if summary["n"] < summary["rows"]:
        command = f"yanlm finetune --resume {pasted(folder)} --eval-rows all"
        err.print(f"note: a random sample of the test rows; all of them: {command}", soft_wrap=True)
    if summary["baseline_rows"] < summary["train_rows"]:
        learned = f"{summary['baseline_rows']:,} of the {summary['train_rows']:,} training rows"
        err.print(f"note: for time, baselines learned from {learned}; --eval-rows all takes all", soft_wrap=True)
    show(f"model:   {folder}/seed-*")
    show(f"more:    {folder}/finetune.json, seed-*/predictions.jsonl")
