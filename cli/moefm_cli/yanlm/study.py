"""``yanlm study``: the paper's experiments on trained models, each a table, a figure and JSON that can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moefm_cli.common import pick_device, show
from moefm_cli.max_bytes import MaxBytes
from moefm_cli.yanlm import study_help
from moefm_cli.yanlm.config_file import table_of
from moefm_cli.yanlm.study_run import floats, integers, names, run_study, set_threads
from yanlm.tasks.task import TASKS

study_app = typer.Typer(
    help="The paper's experiments: quality by steps, time by length, diversity, latents, trainings, data sets.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Models = Annotated[list[str], typer.Option("--model", help="Folder of a run, or LABEL=DIR; repeatable.")]
Data = Annotated[list[str], typer.Option(help="builtin:NAME, a file, hf:NAME; repeatable.")]
Task = Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")]
Metric = Annotated[str | None, typer.Option(help="Score that measures quality. Default: the task's first.")]
Rows = Annotated[int, typer.Option(help="Held-out rows.")]
Steps = Annotated[str, typer.Option(help="Numbers of steps T.")]
Tokens = Annotated[int, typer.Option(help="Latents to look at.")]
Column = Annotated[str | None, typer.Option(help="Column of the text, if it is not called text.")]
Source = Annotated[str | None, typer.Option("--source-field", help="Field of the text or context.")]
Target = Annotated[str | None, typer.Option("--target-field", help="Field of the answer or label.")]
Seeds = Annotated[str, typer.Option(help="Seeds, such as 0,1,2.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Minutes = Annotated[float | None, typer.Option(help="Training time of a run. Default: as configured.")]
Config = Annotated[Path | None, typer.Option(help="TOML file of settings that all trainings share.")]
Encoder = Annotated[str | None, typer.Option(help="Folder of a sentence encoder, or auto.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Out = Annotated[Path | None, typer.Option(help="Folder, new or of a study to continue. Default: runs/study-NAME.")]
Page = Annotated[Path | None, typer.Option(help="Also write the page to this FILE.md, and the figure next to it.")]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]


@study_app.callback()
def study(context: typer.Context) -> None:
    """Show the help where no study is named."""
    if context.invoked_subcommand is None:
        show(context.get_help())


# fmt: off
@study_app.command(help=study_help.STEPS)
def steps(
    model: Models, data: Data, task: Task = "infill", steps: Steps = "1,2,3,4,6,8,16,32",
    metric: Metric = None, rows: Rows = 300, seeds: Seeds = "0",
    length: Annotated[str, typer.Option(help="Slots: given or predicted.")] = "given",
    text_column: Column = None, source_field: Source = None, target_field: Target = None,
    device: Device = "auto", out: Out = None, page: Page = None, max_bytes: MaxBytes = None, json_: Json = False,
) -> None:
    """Run the study of steps."""
    run_study(
        "steps", out, page, json_, models=model, data=data, task=task, steps=integers("--steps", steps),
        metric=metric, rows=rows, seeds=integers("--seeds", seeds), length=length, text_column=text_column,
        source_field=source_field, target_field=target_field, device=pick_device(device),
    )


@study_app.command(help=study_help.LENGTHS)
def lengths(
    model: Annotated[list[str] | None, typer.Option("--model", help="Folder or LABEL=DIR; repeatable.")] = None,
    preset: Annotated[str | None, typer.Option(help="Or a preset, with random weights.")] = None,
    methods: Annotated[str, typer.Option(help="Methods to run.")] = "flow,gpt2,bart,mdlm",
    lengths: Annotated[str, typer.Option(help="Lengths in tokens.")] = "32,64,128,256",
    steps: Annotated[str, typer.Option(help="Steps T of flows; 3 is always among them.")] = "1,3",
    mdlm_steps: Annotated[str, typer.Option(help="Steps of masked diffusion; L is one step per token.")] = "8,32,L",
    rate: Annotated[float, typer.Option(help="Share of the tokens to write; 1 is all.")] = 1.0,
    repeats: Annotated[int, typer.Option(help="Measured rounds, after two for warming up.")] = 5,
    slow: Annotated[float, typer.Option(help="Time a model only once if it takes more seconds than this.")] = 60.0,
    clock: Annotated[str, typer.Option(help="wall, or cpu (CPU time).")] = "wall",
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: torch's.")] = None,
    seed: Seed = 0, device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:
    """Run the study of lengths."""
    if threads is not None:
        set_threads(threads)
    of_mdlm = [0 if part == "L" else integers("--mdlm-steps", part)[0] for part in names(mdlm_steps)]
    run_study(
        "lengths", out, page, json_, models=model or [], preset=preset, methods=names(methods),
        lengths=integers("--lengths", lengths), steps=integers("--steps", steps), mdlm_steps=of_mdlm, rate=rate,
        repeats=repeats, slow=slow, clock=clock, threads=threads, seed=seed, device=pick_device(device),
    )


@study_app.command(help=study_help.DIVERSITY)
def diversity(
    model: Models, data: Data, task: Task = "infill", steps: Steps = "1,2,4,8",
    z0_scale: Annotated[str, typer.Option(help="Scales of a flow's noise.")] = "0.5,1,1.5",
    routing: Annotated[str, typer.Option(help="Routings of a flow.")] = "frozen,argmax,resampled",
    temperature: Annotated[str, typer.Option(help="Temperatures of other methods.")] = "0.7,1",
    samples: Annotated[int, typer.Option(help="Samples of every row.")] = 4,
    encoder: Encoder = None,
    metric: Metric = None, rows: Rows = 100, seeds: Seeds = "0", text_column: Column = None,
    source_field: Source = None, target_field: Target = None,
    device: Device = "auto", out: Out = None, page: Page = None, max_bytes: MaxBytes = None, json_: Json = False,
) -> None:
    """Run the study of diversity."""
    run_study(
        "diversity", out, page, json_, models=model, data=data, task=task, steps=integers("--steps", steps),
        z0_scales=floats("--z0-scale", z0_scale), routings=names(routing),
        temperatures=floats("--temperature", temperature), samples=samples, encoder=encoder, metric=metric, rows=rows,
        seeds=integers("--seeds", seeds), text_column=text_column, source_field=source_field,
        target_field=target_field, device=pick_device(device),
    )


@study_app.command(help=study_help.LATENTS)
def latents(
    model: Models, data: Data, rows: Rows = 300, tokens: Tokens = 4000, text_column: Column = None,
    seed: Seed = 0, device: Device = "auto", out: Out = None, page: Page = None,
    max_bytes: MaxBytes = None, json_: Json = False,
) -> None:
    """Run the study of latents."""
    run_study(
        "latents", out, page, json_, models=model, data=data, rows=rows, tokens=tokens, seed=seed,
        text_column=text_column, device=pick_device(device),
    )


@study_app.command(help=study_help.AUTOENCODER)
def autoencoder(
    data: Data,
    steps: Annotated[int, typer.Option(help="Optimizer steps of each training.")] = 600,
    seeds: Seeds = "0,1,2",
    only: Annotated[list[str] | None, typer.Option(help="paper, wide or alone; repeatable. Default: all.")] = None,
    config: Config = None, rows: Rows = 300, tokens: Tokens = 4000, text_column: Column = None,
    device: Device = "auto", out: Out = None, page: Page = None, max_bytes: MaxBytes = None, json_: Json = False,
) -> None:
    """Run the study of the autoencoder."""
    run_study(
        "autoencoder", out, page, json_, data=data, steps=steps, seeds=integers("--seeds", seeds), only=only or [],
        options=table_of(config), rows=rows, tokens=tokens, text_column=text_column, device=pick_device(device),
    )


@study_app.command(help=study_help.LANGUAGE)
def language(
    data: Data, minutes: Minutes = None, seeds: Seeds = "0,1,2",
    only: Annotated[list[str] | None, typer.Option(help="Name of a variant; repeatable. Default: all.")] = None,
    config: Config = None,
    metric: Annotated[str | None, typer.Option(help="Score that is shown. Default: all of the report.")] = None,
    rows: Rows = 300, text_column: Column = None,
    device: Device = "auto", out: Out = None, page: Page = None, max_bytes: MaxBytes = None, json_: Json = False,
) -> None:
    """Run the study of whole trainings."""
    run_study(
        "language", out, page, json_, data=data, minutes=minutes, seeds=integers("--seeds", seeds), only=only or [],
        options=table_of(config), metric=metric, rows=rows, text_column=text_column, device=pick_device(device),
    )


@study_app.command(help=study_help.ABLATION)
def ablation(
    data: Data, task: Task = "infill", minutes: Minutes = None, seeds: Seeds = "0,1,2",
    only: Annotated[list[str] | None, typer.Option(help="K, sigma, ..., or a variant: 'K = 1'; repeatable.")] = None,
    config: Config = None, steps: Steps = "1,2,3,8", metric: Metric = None, rows: Rows = 300,
    text_column: Column = None, device: Device = "auto", out: Out = None, page: Page = None,
    max_bytes: MaxBytes = None, json_: Json = False,
) -> None:
    """Run the ablation."""
    run_study(
        "ablation", out, page, json_, data=data, task=task, minutes=minutes, seeds=integers("--seeds", seeds),
        only=only or [], options=table_of(config), steps=integers("--steps", steps), metric=metric, rows=rows,
        text_column=text_column, device=pick_device(device),
    )


@study_app.command(help=study_help.AGREEMENT)
def agreement(
    task: Annotated[str, typer.Option(help="codes, statements, shuffle, latin, sudoku, sums, or a spec of one.")],
    setting: Annotated[list[str] | None, typer.Option(help="A task setting, such as groups=4; repeatable.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="A method; repeatable. Default: the usual ones.")] = None,
    steps: Steps = "1,2,3,4,8,16",
    minutes: Annotated[float | None, typer.Option(help="Minutes for each model. Default: the task's.")] = None,
    train_steps: Annotated[int | None, typer.Option(help="Or the number of optimizer steps for each model.")] = None,
    seeds: Seeds = "0",
    rows: Annotated[int, typer.Option(help="Test rows.")] = 200,
    samples: Annotated[int, typer.Option(help="Texts for each row.")] = 8,
    test: Annotated[Path | None, typer.Option(help="Folder of ParallelBench's test rows, instead of our own.")] = None,
    config: Config = None, device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:
    """Run the study of agreement."""
    mark = "," if ":" in task.removeprefix("builtin:") else ":"
    spec = task + (mark + ",".join(setting) if setting else "")
    run_study(
        "agreement", out, page, json_, task=spec, only=only or [], steps=integers("--steps", steps), minutes=minutes,
        train_steps=train_steps, seeds=integers("--seeds", seeds), rows=rows, samples=samples,
        test=test, options=table_of(config), device=pick_device(device),
    )


@study_app.command(help=study_help.TABLE)
def table(
    sets: Annotated[list[str], typer.Option("--set", help="TASK=SPEC; repeatable.")],
    methods: Annotated[str, typer.Option(help="Methods to run.")] = "flow,vfm,gpt2,bart,mdlm,mlm",
    text: Annotated[list[str] | None, typer.Option(help="Data to train on first. Default: each set's own.")] = None,
    first: Annotated[float, typer.Option(help="Minutes of training before the task.")] = 4.0,
    second: Annotated[float, typer.Option(help="Minutes of fine-tuning on the task.")] = 2.0,
    seeds: Seeds = "0,1,2", steps: Steps = "1,2,3,4,8",
    rows: Annotated[int, typer.Option(help="Largest number of test rows.")] = 1000,
    encoder: Encoder = None, config: Config = None,
    device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:
    """Run the table."""
    run_study(
        "table", out, page, json_, sets=sets, methods=names(methods), text=text or [], first=first, second=second,
        seeds=integers("--seeds", seeds), steps=integers("--steps", steps), rows=rows, encoder=encoder,
        options=table_of(config), device=pick_device(device),
    )


@study_app.command(help=study_help.DATASETS)
def datasets(
    data: Data,
    tokenizer: Annotated[str | None, typer.Option(help="bpe:SIZE, words:SIZE, llama3, a path. Default: llama3")] = None,
    text_column: Column = None, out: Out = None, page: Page = None, max_bytes: MaxBytes = None, json_: Json = False,
) -> None:
    """Run the study of data sets."""
    run_study("datasets", out, page, json_, specs=data, tokenizer=tokenizer, text_column=text_column)
# fmt: on
