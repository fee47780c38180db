"""The ``yanlm`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from moefm_cli.common import (
    Json,
    UsageError,
    machine_facts,
    need_extra,
    package_versions,
    print_json,
    progress,
    run_app,
    show,
)
from moefm_cli.max_bytes import MaxBytes
from moefm_cli.usage import Version
from moefm_cli.yanlm import bench as yanlm_bench
from moefm_cli.yanlm import evaluate as yanlm_evaluate
from moefm_cli.yanlm import finetune as yanlm_finetune
from moefm_cli.yanlm import generate as yanlm_generate
from moefm_cli.yanlm import serve as yanlm_serve
from moefm_cli.yanlm import train as yanlm_train
from moefm_cli.yanlm.study import study_app

app = typer.Typer(
    help="A language model that fills all masked words of a text at once.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(study_app, name="study")
app.command(help=yanlm_train.HELP)(yanlm_train.train)
app.command(help=yanlm_generate.HELP)(yanlm_generate.generate)


@app.callback()
def yanlm(version: Version = False) -> None:
    """Options of the program itself."""


def main() -> NoReturn:
    """Entry point of ``yanlm``."""
    run_app(app, "yanlm")


@app.command()
def info(
    preset: Annotated[str | None, typer.Option(help="tiny, small, base, paper-transformer, paper-mamba.")] = None,
    model: Annotated[Path | None, typer.Option(help="Or the folder of a trained model.")] = None,
    json_: Json = False,
) -> None:
    """Show the size and the settings of a preset or a trained model."""
    if preset is not None and model is not None:
        raise UsageError("give --preset or --model, not both")
    if model is None:
        from yanlm.runs.preset_facts import preset_facts

        facts = preset_facts(preset or "tiny")
    else:
        need_extra()
        from yanlm.modeling.io import load_model, model_folder

        folder = model_folder(model)
        from yanlm.modeling.description import count_parameters, options_in_use

        loaded = load_model(folder, writing=True)
        facts = {"model": str(model), "parameters": count_parameters(loaded), "config": options_in_use(loaded.config)}
    if json_:
        print_json(facts)
        return
    for name, value in facts["parameters"].items():
        show(f"{name:<12} {value:>12,}")
    for name, value in facts["config"].items():
        show(f"{name:<22} {value}")


@app.command()
def inspect(
    model: Annotated[Path, typer.Option(help="Folder of a run, or of one of its stages.")],
    data: Annotated[list[str] | None, typer.Option(help="Data to look at. Default: the run's own.")] = None,
    text_column: Annotated[str | None, typer.Option(help="With --data: column of the text, if not text.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figure and JSON. Default: inspect in the model's folder.")
    ] = None,
    max_bytes: MaxBytes = None,
    json_: Json = False,
) -> None:
    """Draw and measure a model's latents (the paper's Fig. 3), and its information time if its encoder denoises."""
    need_extra()
    from yanlm.analysis.information import information_lines
    from yanlm.analysis.inspection import inspect_folder

    with progress():
        numbers = inspect_folder(model, data=data, text_column=text_column, out=out)
    if json_:
        print_json(numbers)
        return
    for name, value in numbers.items():
        if isinstance(value, int | float):
            show(f"{name:<28} {value:.4g}")
    for line in information_lines(numbers["information"]) if "information" in numbers else ():
        show(line)
    for name, path in numbers["files"].items():
        show(f"{name}: {path}")


@app.command()
def doctor(json_: Json = False) -> None:
    """Show which versions, devices, optional packages and Mamba kernels are in use."""
    import torch

    from yanlm.data.hub import is_offline
    from yanlm.nn.half_precision import has_fast_bfloat16
    from yanlm.nn.mamba_kernels import kernel_status

    wanted = (
        "transformers",
        "tokenizers",
        "datasets",
        "accelerate",
        "tensorboard",
        "rouge-score",
        "mamba-ssm",
        "pyarrow",
    )
    packages = package_versions(wanted)
    facts: dict[str, Any] = {
        **machine_facts(),
        "bf16": torch.cuda.is_bf16_supported() if torch.cuda.is_available() else has_fast_bfloat16(),
        "offline": is_offline(),
        "mamba": kernel_status(),
        "packages": packages,
    }
    if json_:
        print_json(facts)
        return
    for name, value in facts.items():
        if name == "mamba":
            show(f"{name:<14} {value['in_use']}: {value['why']}")
        elif name != "packages":
            show(f"{name:<14} {value if value != [] else 'none'}")
    for name, version in packages.items():
        show(f"{name:<14} {version or 'not installed'}")


app.command(help=yanlm_finetune.HELP)(yanlm_finetune.finetune)
app.command(help=yanlm_evaluate.HELP)(yanlm_evaluate.evaluate)
app.command(help=yanlm_bench.HELP)(yanlm_bench.bench)
app.command(help=yanlm_serve.HELP)(yanlm_serve.serve)


if __name__ == "__main__":
    sys.exit(main())
