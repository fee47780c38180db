"""``yanlm bench``: how fast a model writes or trains, beside others, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moefm_cli.common import Device, Json, UsageError, err, need_extra, pick_device, print_json, show
from moefm_cli.yanlm.study_run import integers, names, set_threads

HELP = """Time a model next to others: seconds, spread, memory, parts, and its share of the machine's peak rates.

\b
yanlm bench --preset tiny                                              seconds on this machine
yanlm bench --preset paper-transformer --lengths 64,512,2048 --batch 1,8,64 --against gpt2,bart,mdlm --device cuda
yanlm bench --preset paper-transformer --lengths 512 --against reference --precision bfloat16 --clock cpu
yanlm bench --model runs/yanlm --lengths 32,64,128,256 --rate 0.15 --figure bench.png --json
yanlm bench --preset small --lengths 256 --batch 8 --train             seconds of an optimizer step
"""


def bench(
    preset: Annotated[str | None, typer.Option(help="Use a model of this preset with random weights.")] = None,
    model: Annotated[Path | None, typer.Option(help="Or the folder of a trained model.")] = None,
    lengths: Annotated[str, typer.Option(help="Text lengths in tokens.")] = "64,128,256",
    batch: Annotated[str, typer.Option(help="Texts written together.")] = "1",
    steps: Annotated[int, typer.Option(help="Steps T of the flow.")] = 3,
    against: Annotated[str | None, typer.Option(help="Models to compare with: reference, gpt2, bart, mdlm.")] = None,
    mdlm_steps: Annotated[int, typer.Option(help="Passes of masked diffusion.")] = 32,
    rate: Annotated[
        float | None, typer.Option(help="Share of the tokens to write. Default: 1, or .15 with --train.")
    ] = None,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    train: Annotated[bool, typer.Option("--train", help="Time optimizer steps instead of generation.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="With --train: also time compiled blocks.")] = False,
    repeats: Annotated[int, typer.Option(help="Measured rounds.")] = 5,
    slow: Annotated[float, typer.Option(help="Time a model only once if it takes more seconds than this.")] = 60.0,
    clock: Annotated[str, typer.Option(help="wall, or cpu (CPU time).")] = "wall",
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: torch's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the texts and of all random numbers.")] = 0,
    device: Device = "auto",
    figure: Annotated[Path | None, typer.Option(help="Also draw time against length, FILE.png, .svg or .pdf.")] = None,
    json_: Json = False,
) -> None:
    """Parse, time, show the table."""
    need_extra()
    drawn_to = None if figure is None else _checked(figure)
    if threads is not None:
        set_threads(threads)
    from yanlm.studies.bench import bench as run
    from yanlm.studies.bench import bench_figure

    document = run(
        preset=preset, model=model, lengths=integers("--lengths", lengths), batches=integers("--batch", batch),
        steps=steps, against=names(against) if against else [], mdlm_steps=mdlm_steps, rate=rate, precision=precision,
        train=train, compile=compile, repeats=repeats, slow=slow, clock=clock, seed=seed, device=pick_device(device),
        say=lambda line: err.print(line, style="dim", soft_wrap=True),
    )  # fmt: skip
    if json_:
        print_json(document)
    else:
        from yanlm.studies.tools.bench_page import bench_page

        show(bench_page(document))
    if drawn_to is None:
        return
    from yanlm.files import replacing

    with replacing(drawn_to) as beside:  # last: a figure that cannot be written loses no numbers
        bench_figure(document).savefig(beside, dpi=120, format=drawn_to.suffix[1:])
    if not json_:
        show(f"figure: {drawn_to}")


def _checked(figure: Path) -> Path:
    """Where the figure goes, before time is spent."""
    if figure.suffix not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--figure must end in .png, .svg or .pdf, got {str(figure)!r}")
    if not figure.absolute().parent.is_dir() or figure.is_dir():
        raise UsageError(f"--figure {figure}: there is no folder to write it to, or a folder of that name")
    return figure
