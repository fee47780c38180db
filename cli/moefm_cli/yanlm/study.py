"""``yanlm study``: the paper's experiments on trained models, each a table, a figure and JSON that can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from moefm_cli.common import pick_device
from moefm_cli.yanlm.study_run import floats, integers, run_study, set_threads, table_of
from yanlm.tasks.task import TASKS

study_app = typer.Typer(
    help="The paper's experiments: quality by steps, time by length, diversity, latents, ablations, data sets.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

STEPS_HELP = """Quality against the number of steps T (Figs. 4, top, 6, 7).

\b
yanlm study steps --model runs/yanlm --task infill --data builtin:pydoc
yanlm study steps --model flow=runs/a --model gpt2=runs/b --task qa --data builtin:rooms --steps 1,3,8 --seeds 0,1,2
"""
LENGTHS_HELP = """Seconds of a generation against the length of the text, all models side by side (Figs. 4, bottom, 9).

\b
yanlm study lengths --preset tiny --lengths 32,64,128,256          models with random weights, of equal size
yanlm study lengths --model runs/a --model runs/b --lengths 32,64
yanlm study lengths --preset paper-transformer --lengths 128,512,2048 --mdlm-steps 500,1000 --device cuda
"""
DIVERSITY_HELP = """Quality against diversity of several samples (Fig. 5).

\b
yanlm study diversity --model runs/yanlm --task infill --data builtin:pydoc
yanlm study diversity --model runs/yanlm --data stories.jsonl.gz --steps 1,4 --routing frozen --encoder FOLDER
"""
LATENTS_HELP = """Latents of several models side by side (Fig. 3).

\b
yanlm study latents --model runs/a --model runs/b --data builtin:pydoc
"""
ABLATION_HELP = """Train variants, one choice changed at a time, over seeds; stopped, it goes on when it is run again.

\b
yanlm study ablation --data builtin:pydoc --minutes 5
yanlm study ablation --data builtin:rooms --task qa --minutes 5 --only K --only "ce = onestep" --config small.toml
"""
AGREEMENT_HELP = """Whether words written at once agree: true statements about small worlds, several of them right.

\b
yanlm study agreement --seeds 0                       every model, about four hours on one core
yanlm study agreement --only "one pass" --only "a text, mixture CE, trunk" --first 5 --second 15
"""
TABLE_HELP = """Every task and set, the flow and every baseline, trained alike for the same time, over seeds (Table 1).

\b
yanlm study table --set qa=builtin:rooms --methods flow,mlm,gpt2 --first 3 --second 1
yanlm study table --set infill=stories.jsonl --set classify=ag_news/train.jsonl.gz --text stories.jsonl --first 20
"""
DATASETS_HELP = """Rows, words and tokens of data sets, beside the paper's (Table 2).

\b
yanlm study datasets --data builtin:rooms --data stories.jsonl.gz
yanlm study datasets --data squad/train.jsonl.gz --tokenizer llama3
"""

Models = Annotated[list[str], typer.Option("--model", help="Folder of a run, or LABEL=DIR; repeatable.")]
Data = Annotated[list[str], typer.Option(help="builtin:NAME, a file, hf:NAME; repeatable.")]
Task = Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")]
Metric = Annotated[str | None, typer.Option(help="Score that counts. Default: the task's first.")]
Rows = Annotated[int, typer.Option(help="Held-out rows.")]
Column = Annotated[str | None, typer.Option(help="Column of the text where it is not called text.")]
Seeds = Annotated[str, typer.Option(help="Seeds, as 0,1,2.")]
Seed = Annotated[int, typer.Option(help="Of everything drawn.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Out = Annotated[Path | None, typer.Option(help="Folder, to go on with or new. Default: runs/study-NAME.")]
Page = Annotated[Path | None, typer.Option(help="Also write the page here, as FILE.md, with the figure beside it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


@study_app.callback()
def study(context: typer.Context) -> None:
    """Show the help where no study is named."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@study_app.command(help=STEPS_HELP)
def steps(
    model: Models, data: Data, task: Task = "infill",
    steps: Annotated[str, typer.Option(help="Numbers of steps T.")] = "1,2,3,4,6,8,16,32",
    metric: Metric = None, rows: Rows = 300, seeds: Seeds = "0",
    length: Annotated[str, typer.Option(help="Slots: given or predicted.")] = "given",
    text_column: Column = None, device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the study of steps."""
    given = {"steps": integers("--steps", steps), "seeds": integers("--seeds", seeds), "device": pick_device(device)}
    options = {"models": model, "data": data, "task": task, "metric": metric, "rows": rows, "length": length}
    run_study("steps", out, json_, page=page, text_column=text_column, **given, **options)


@study_app.command(help=LENGTHS_HELP)
def lengths(
    model: Annotated[list[str] | None, typer.Option("--model", help="Folder or LABEL=DIR; repeatable.")] = None,
    preset: Annotated[str | None, typer.Option(help="Instead: random weights, as large as this preset.")] = None,
    methods: Annotated[str, typer.Option(help="Methods of these.")] = "flow,gpt2,bart,mdlm",
    lengths: Annotated[str, typer.Option(help="Lengths in tokens.")] = "32,64,128,256",
    steps: Annotated[str, typer.Option(help="Steps T of flows; 3 is always among them.")] = "1,3",
    mdlm_steps: Annotated[str, typer.Option(help="Steps of masked diffusion; L: a step a token.")] = "8,32,L",
    rate: Annotated[float, typer.Option(help="Share of the tokens to write: 1 for all.")] = 1.0,
    repeats: Annotated[int, typer.Option(help="Rounds that count, after one that does not.")] = 5,
    slow: Annotated[float, typer.Option(help="What takes more seconds than this is timed once.")] = 60.0,
    clock: Annotated[str, typer.Option(help="wall, or cpu for processor time.")] = "wall",
    threads: Annotated[int | None, typer.Option(help="Threads of the CPU. Default: as torch has it.")] = None,
    seed: Seed = 0, device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the study of lengths."""
    if threads is not None:
        set_threads(threads)
    of_mdlm = [0 if part.strip() == "L" else integers("--mdlm-steps", part)[0] for part in mdlm_steps.split(",")]
    counts = {"lengths": integers("--lengths", lengths), "steps": integers("--steps", steps), "mdlm_steps": of_mdlm}
    kinds = [part.strip() for part in methods.split(",")]
    clocks = {"rate": rate, "repeats": repeats, "slow": slow, "clock": clock, "device": pick_device(device)}
    run_study(
        "lengths",
        out,
        json_,
        page=page,
        models=model or [],
        preset=preset,
        methods=kinds,
        seed=seed,
        **counts,
        **clocks,
    )


@study_app.command(help=DIVERSITY_HELP)
def diversity(
    model: Models, data: Data, task: Task = "infill",
    steps: Annotated[str, typer.Option(help="Numbers of steps T.")] = "1,2,4,8",
    z0_scale: Annotated[str, typer.Option(help="Scales of a flow's noise.")] = "0.5,1,1.5",
    routing: Annotated[str, typer.Option(help="Routings of a flow.")] = "frozen,argmax,resampled",
    temperature: Annotated[str, typer.Option(help="Temperatures of other methods.")] = "0.7,1",
    samples: Annotated[int, typer.Option(help="Samples of every row.")] = 4,
    encoder: Annotated[str | None, typer.Option(help="Folder of a sentence encoder, for SemDist.")] = None,
    metric: Metric = None, rows: Rows = 100, seeds: Seeds = "0", text_column: Column = None,
    device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the study of diversity."""
    given: dict[str, Any] = {"steps": integers("--steps", steps), "seeds": integers("--seeds", seeds)}
    given |= {"z0_scales": floats("--z0-scale", z0_scale), "temperatures": floats("--temperature", temperature)}
    given |= {"routings": [part.strip() for part in routing.split(",")], "samples": samples, "encoder": encoder}
    options = {"models": model, "data": data, "task": task, "metric": metric, "rows": rows, "page": page}
    run_study("diversity", out, json_, text_column=text_column, device=pick_device(device), **given, **options)


@study_app.command(help=LATENTS_HELP)
def latents(
    model: Models, data: Data, rows: Rows = 300,
    tokens: Annotated[int, typer.Option(help="Latents to look at.")] = 4000,
    text_column: Column = None, seed: Seed = 0, device: Device = "auto",
    out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the study of latents."""
    given = {"models": model, "data": data, "rows": rows, "tokens": tokens, "seed": seed, "text_column": text_column}
    run_study("latents", out, json_, page=page, device=pick_device(device), **given)


@study_app.command(help=ABLATION_HELP)
def ablation(
    data: Data, task: Task = "infill",
    minutes: Annotated[float | None, typer.Option(help="Training time of a run. Default: as configured.")] = None,
    seeds: Seeds = "0,1,2",
    only: Annotated[list[str] | None, typer.Option(help="K, sigma, ..., or a variant as 'K = 1'; repeatable.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings that all variants share.")] = None,
    steps: Annotated[str, typer.Option(help="Numbers of steps T.")] = "1,2,3,8",
    metric: Metric = None, rows: Rows = 300, text_column: Column = None,
    device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the ablation."""
    given = {"steps": integers("--steps", steps), "seeds": integers("--seeds", seeds), "only": only or []}
    options = {"data": data, "task": task, "minutes": minutes, "metric": metric, "rows": rows, "page": page}
    shared = {} if config is None else table_of(config)
    run_study(
        "ablation", out, json_, options=shared, text_column=text_column, device=pick_device(device), **given, **options
    )


@study_app.command(help=AGREEMENT_HELP)
def agreement(
    first: Annotated[float, typer.Option(help="Minutes on questions and statements, a flow's stage 1.")] = 5.0,
    second: Annotated[float, typer.Option(help="Minutes on statements, its stage 2.")] = 15.0,
    seeds: Seeds = "0,1,2",
    only: Annotated[list[str] | None, typer.Option(help="Name of a model; repeatable. Default: all.")] = None,
    steps: Annotated[str, typer.Option(help="Numbers of steps T.")] = "1,2,3,4,8",
    worlds: Annotated[int, typer.Option(help="Test worlds.")] = 300,
    samples: Annotated[int, typer.Option(help="Statements about each.")] = 8,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings that all models share.")] = None,
    out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the study of agreement."""
    given: dict[str, Any] = {"steps": integers("--steps", steps), "seeds": integers("--seeds", seeds)}
    given |= {"first": first, "second": second, "only": only or [], "worlds": worlds, "samples": samples}
    run_study("agreement", out, json_, options={} if config is None else table_of(config), page=page, **given)


@study_app.command(help=TABLE_HELP)
def table(
    sets: Annotated[list[str], typer.Option("--set", help="TASK=SPEC; repeatable.")],
    methods: Annotated[str, typer.Option(help="Methods of these.")] = "flow,vfm,gpt2,bart,mdlm,mlm",
    text: Annotated[list[str] | None, typer.Option(help="Data all models begin with. Default: each set's own.")] = None,
    first: Annotated[float, typer.Option(help="Minutes of training before the task.")] = 4.0,
    second: Annotated[float, typer.Option(help="Minutes of fine-tuning on the task.")] = 2.0,
    seeds: Seeds = "0,1,2",
    steps: Annotated[str, typer.Option(help="Numbers of steps T.")] = "1,2,3,4,8",
    rows: Annotated[int, typer.Option(help="Most test rows.")] = 1000,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings that all models share.")] = None,
    device: Device = "auto", out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the table."""
    given: dict[str, Any] = {"steps": integers("--steps", steps), "seeds": integers("--seeds", seeds)}
    given |= {"methods": [part.strip() for part in methods.split(",")], "text": text or [], "sets": sets}
    given |= {"first": first, "second": second, "rows": rows, "options": {} if config is None else table_of(config)}
    run_study("table", out, json_, page=page, device=pick_device(device), **given)


@study_app.command(help=DATASETS_HELP)
def datasets(
    data: Data,
    tokenizer: Annotated[str | None, typer.Option(help="bpe:SIZE, llama3, a folder or file. Default: llama3.")] = None,
    text_column: Column = None, out: Out = None, page: Page = None, json_: Json = False,
) -> None:  # fmt: skip
    """Run the study of data sets."""
    run_study("datasets", out, json_, specs=data, tokenizer=tokenizer, text_column=text_column, page=page)
