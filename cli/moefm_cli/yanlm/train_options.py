"""The options of ``yanlm train``, in the groups that its help shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from yanlm.kinds import BASELINES, PRESET_NAMES


def among(*values: str) -> Callable[[str], list[str]]:
    """What a shell offers for an option: the values that begin with the typed word."""

    def offer(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return offer


TRAINED, DATA, MODEL, LENGTH, OPTIMIZER, RECORD = (
    "What is trained",
    "Data",
    "Model and objective",
    "Length of the training",
    "Optimizer and speed",
    "Run and records",
)

Preset = Annotated[
    str,
    typer.Option(help=", ".join(PRESET_NAMES) + ".", rich_help_panel=TRAINED, autocompletion=among(*PRESET_NAMES)),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        help="gpt2, bart, mdlm, mlm or vfm (one expert) instead of the mixture flow.",
        rich_help_panel=TRAINED,
        autocompletion=among(*BASELINES, "vfm"),
    ),
]
Stage = Annotated[
    str,
    typer.Option(
        help="both, 1 (autoencoder) or 2 (flow).", rich_help_panel=TRAINED, autocompletion=among("both", "1", "2")
    ),
]
Init = Annotated[
    Path | None, typer.Option(help="Model folder to start from, with its tokenizer and sizes.", rich_help_panel=TRAINED)
]
InitFrom = Annotated[
    Path | None,
    typer.Option(help="Folder of a published GPT-2 or BART to start the baseline from.", rich_help_panel=TRAINED),
]
Config = Annotated[
    Path | None, typer.Option(help="TOML file of settings; options override it.", rich_help_panel=TRAINED)
]

Data = Annotated[
    list[str] | None,
    typer.Option(
        help="builtin:pydoc, rooms, codes, statements, lookups, shuffle, replace, latin, sudoku or sums (settings "
        "behind a colon: builtin:codes:groups=4), a file, hf:NAME, paper; repeatable, SPEC@0.75 weighs it.",
        rich_help_panel=DATA,
    ),
]
TextColumn = Annotated[
    str | None, typer.Option(help="Column of the text, if it is not called text.", rich_help_panel=DATA)
]
Tokenizer = Annotated[
    str | None,
    typer.Option(help="bpe:SIZE, words:SIZE, llama3, a folder, file or name.", rich_help_panel=DATA),
]

Backbone = Annotated[
    str | None,
    typer.Option(help="transformer or mamba.", rich_help_panel=MODEL, autocompletion=among("transformer", "mamba")),
]
Denoiser = Annotated[
    str | None,
    typer.Option(
        help="trunk (behind the encoder), or encoder (the encoder itself denoises, in one stage).",
        rich_help_panel=MODEL,
        autocompletion=among("trunk", "encoder"),
    ),
]
Experts = Annotated[int | None, typer.Option(help="Experts K.", rich_help_panel=MODEL)]
Prediction = Annotated[
    str | None,
    typer.Option(help="velocity or data.", rich_help_panel=MODEL, autocompletion=among("velocity", "data")),
]
Objective = Annotated[
    str | None,
    typer.Option(help="paper or consistent.", rich_help_panel=MODEL, autocompletion=among("paper", "consistent")),
]
CE = Annotated[
    str | None,
    typer.Option(
        help="unrolled, onestep, rollout, mixture or posterior.",
        rich_help_panel=MODEL,
        autocompletion=among("unrolled", "onestep", "rollout", "mixture", "posterior"),
    ),
]

Minutes = Annotated[
    float | None,
    typer.Option(
        help="Training time of all stages, without evaluation. Default: the preset's.", rich_help_panel=LENGTH
    ),
]
Steps1 = Annotated[int | None, typer.Option(help="Steps of stage 1, instead of --minutes.", rich_help_panel=LENGTH)]
Steps2 = Annotated[int | None, typer.Option(help="Steps of stage 2, instead of --minutes.", rich_help_panel=LENGTH)]

BatchSize = Annotated[int | None, typer.Option(help="Rows in a step, over all processes.", rich_help_panel=OPTIMIZER)]
Bucket = Annotated[
    int | None,
    typer.Option(
        help="Steps whose rows are sorted by length together (32; of a stream 1).",
        rich_help_panel=OPTIMIZER,
    ),
]
Accumulate = Annotated[int | None, typer.Option(help="Number of micro-batches in a step.", rich_help_panel=OPTIMIZER)]
LearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate of both stages.", rich_help_panel=OPTIMIZER)
]
Precision = Annotated[
    str | None,
    typer.Option(help="no (float32) or bf16.", rich_help_panel=OPTIMIZER, autocompletion=among("no", "bf16")),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile",
        help="Fuse the operations of the model's blocks with torch.compile.",
        rich_help_panel=OPTIMIZER,
    ),
]

Out = Annotated[Path | None, typer.Option(help="Folder for the run. Default: runs/yanlm.", rich_help_panel=RECORD)]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Continue the run in this folder; rate, length, intervals and device may change.",
        rich_help_panel=RECORD,
    ),
]
SaveEvery = Annotated[int | None, typer.Option(help="Steps between checkpoints.", rich_help_panel=RECORD)]
LogEvery = Annotated[int | None, typer.Option(help="Steps between lines of the log.", rich_help_panel=RECORD)]
LogWith = Annotated[
    list[str] | None,
    typer.Option(
        help="tensorboard, wandb, trackio or another tracker of accelerate, or none; repeatable. Default: tensorboard.",
        rich_help_panel=RECORD,
        autocompletion=among("tensorboard", "wandb", "trackio", "mlflow", "none"),
    ),
]
