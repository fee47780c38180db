"""``moefm toy``: train the methods on points, and compare what each does in few steps."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from moefm_cli.common import UsageError, err, pick_device, print_json, progress, show
from moefm_cli.max_bytes import MaxBytes

if TYPE_CHECKING:
    from moefm_toy.settings import Settings

HELP = """Train vanilla and mixture-of-experts flow matching on points and show what each does in few steps.

\b
moefm toy                              moons, three methods, a minute
moefm toy --dataset grid --seeds 5     medians and ranges of five seeds
moefm toy --dataset my.csv --experts 6 your points (csv npy npz parquet)
moefm toy --dataset codes              uniform time and information time
moefm toy --quick --json               only numbers, on standard output
"""
MOST_SEED = 10**12
"""Seeds of the streams of a run are a million times as large."""
QUICK = {"train_steps": 700, "points": 400}


def _choice(option: str, value: str, accepted: Iterable[str]) -> str:
    if value not in accepted:
        raise UsageError(f"{option} must be one of {', '.join(accepted)}, got {value!r}")
    return value


def _methods(values: list[str], accepted: Iterable[str]) -> tuple[str, ...]:
    names = [part.strip() for value in values for part in value.split(",")]
    return tuple(dict.fromkeys(_choice("--method", name, accepted) for name in names))


def _steps(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(re.fullmatch(r"[1-9]\d{0,5}", part) for part in parts):
        raise UsageError(f"--steps must be step counts such as 1,2,4,8,100, got {text!r}")
    return tuple(sorted({int(part) for part in parts}))


def _at_least(option: str, value: int | None, minimum: int) -> None:
    if value is not None and value < minimum:
        raise UsageError(f"{option} must be at least {minimum}, got {value}")


def toy(
    dataset: Annotated[str, typer.Option(help="A name of `moefm datasets`, or a file of points.")] = "moons",
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="vfm, moefm, consistent; vfm-information etc. for information time. Default: the data set's."
        ),
    ] = None,
    experts: Annotated[int | None, typer.Option(help="Experts K. Default: the data set's.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Mixture sigma. Default: .1 moefm, .2 consistent.")] = None,
    steps: Annotated[str, typer.Option(help="Step counts to sample with.")] = "1,2,4,8,100",
    train_steps: Annotated[int | None, typer.Option(help="Optimizer steps. Default: 3000; 700 with --quick.")] = None,
    batch_size: Annotated[int, typer.Option(help="Network evaluations in a training step.")] = 256,
    points: Annotated[int | None, typer.Option(help="Samples measured. Default: 1000; 400 with --quick.")] = None,
    clouds: Annotated[int, typer.Option(help="Measurements to average, each with its own held-out points.")] = 3,
    hidden: Annotated[
        int | None,
        typer.Option(help="Width of VFM; mixtures get the same number of parameters. Default: the data set's."),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate. Default: .001 moefm, else .002.")] = None,
    ema: Annotated[float, typer.Option(help="Decay of a weight average; 0 is none.")] = 0.0,
    coupling: Annotated[str, typer.Option(help="independent or ot.")] = "independent",
    routing: Annotated[str, typer.Option(help="frozen, greedy, resampled, mean or argmax.")] = "frozen",
    solver: Annotated[str, typer.Option(help="euler, midpoint, heun, rk4, or one of torchdiffeq.")] = "euler",
    dim: Annotated[int | None, typer.Option(help="Principal components of digits, 2 to 16.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds; more than one reports medians and ranges.")] = 1,
    seed: Annotated[int, typer.Option(help="First seed.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for the results. Default: runs/toy-<dataset>.")] = None,
    max_bytes: MaxBytes = None,
    json_: Annotated[bool, typer.Option("--json", help="Print only metrics.json on standard output.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A rough result in seconds.")] = False,
    animate: Annotated[bool, typer.Option("--animate", help="Also write transport.gif.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run of this command.")] = False,
) -> None:
    """Check the options, run the experiment, show it."""
    began = time.perf_counter()
    from moefm.couplings import COUPLINGS
    from moefm.routing import ROUTINGS, get_routing
    from moefm.sampling import check_pair
    from moefm.solvers import check_solver
    from moefm_toy.settings import IN_INFORMATION_TIME, METHODS, Settings

    methods = _methods(method, (*METHODS, *IN_INFORMATION_TIME)) if method else None
    limits = {
        "--experts": experts,
        "--train-steps": train_steps,
        "--seeds": seeds,
        "--hidden": hidden,
        "--clouds": clouds,
    }
    for option, value in limits.items():
        _at_least(option, value, 1)
    _at_least("--batch-size", batch_size, 2)
    _at_least("--points", points, 10)
    _at_least("--seed", seed, 0)
    if seed + seeds > MOST_SEED:
        raise UsageError(f"--seed must be at most {MOST_SEED - seeds}, got {seed}")
    for option, number in (("--sigma", sigma), ("--lr", lr)):
        if number is not None and not 0 < number < float("inf"):
            raise UsageError(f"{option} must be a finite number above 0, got {number}")
    if not 0 <= ema < 1:
        raise UsageError(f"--ema must lie in [0, 1), got {ema}")
    _choice("--coupling", coupling, COUPLINGS)
    check_pair(get_routing(_choice("--routing", routing, ROUTINGS)), check_solver(solver))
    settings = Settings(
        methods=methods,
        experts=experts,
        sigma=sigma,
        steps=_steps(steps),
        train_steps=train_steps or (QUICK["train_steps"] if quick else Settings.train_steps),
        batch_size=batch_size,
        points=points or (QUICK["points"] if quick else Settings.points),
        clouds=clouds,
        hidden=hidden,
        coupling=coupling,
        routing=routing,
        solver=solver,
        lr=lr,
        ema=ema,
        device=pick_device(device),
    )
    if routing != "frozen" and (methods is None or "consistent" in methods):
        err.print(
            f"note: the consistent loss trains its gate at t = 0 alone; {routing} routing reads it at every t",
            soft_wrap=True,
        )
    result, folder, files = _run_toy(dataset, dim, settings, range(seed, seed + seeds), out, resume, animate)
    if json_:
        print_json(result)
    else:
        _show_toy(result, folder, files, time.perf_counter() - began)


def _run_toy(
    name: str, dim: int | None, settings: Settings, seeds: range, out: Path | None, resume: bool, animate: bool
) -> tuple[dict[str, Any], Path, list[str]]:
    import torch

    from moefm_toy.datasets import load_dataset
    from moefm_toy.experiment import run_seed
    from moefm_toy.folders import FIELDS, prepare_folder, refuse_foreign
    from moefm_toy.report import document
    from moefm_toy.results import write_results

    data = load_dataset(name, dim=dim)
    # A network this small gains nothing from more threads, and its numbers then do not depend on their number.
    if settings.device == "cpu" and settings.batch_size * (settings.hidden or data.hidden) < 2**18:
        torch.set_num_threads(1)
    folder = out or Path("runs") / f"toy-{data.name}"
    prepare_folder(folder)
    refuse_foreign(folder)
    about = f": {data.description}; K = {settings.experts or data.experts}"
    err.print(Text.assemble((data.name, "bold"), about), soft_wrap=True)
    runs = []
    try:
        with progress() as report:
            for seed in seeds:
                prefix = "" if len(seeds) == 1 else f"seed {seed}: "

                def stage(what: str, done: int, total: int, prefix: str = prefix) -> None:
                    report(prefix + what, done, total)

                runs.append(run_seed(data, settings, seed, stage, folder / FIELDS, resume))
    except KeyboardInterrupt:
        err.print(f"stopped; add --resume to go on from the fields in {folder / FIELDS}", soft_wrap=True)
        raise
    result = document(data.name, settings, runs)
    with err.status("drawing figures"):
        files = write_results(folder, data, result, runs[0], animate)
    return result, folder, files


def _show_toy(result: dict[str, Any], folder: Path, files: list[str], seconds: float) -> None:
    """A table of W2 by step count that names the winners, and where the files are."""
    from moefm_toy.report import winners

    methods, best = result["methods"], winners(result)
    over = f", median of {len(result['seeds'])} seeds" if "seeds" in result else ""
    table = Table(
        title=f"W2 to held-out data{over}; noise floor {result['noise_floor_w2']:.3f}",
        title_justify="left",
    )
    table.add_column("steps", justify="right")
    for name in methods:
        table.add_column(name, justify="right")
    table.add_column("winner")
    for t in best:
        table.add_row(t, *(f"{scores['by_steps'][t]['w2']:.3f}" for scores in methods.values()), best[t])
    table.add_section()
    straight = {name: scores["straightness"] for name, scores in methods.items()}
    straightest = min(straight, key=lambda name: straight[name])
    if "4" in best:
        off = {name: scores["by_steps"]["4"]["off_support"] for name, scores in methods.items()}
        nearest = min(off, key=lambda name: off[name])
        table.add_row("off support at 4", *(f"{share:.1%}" for share in off.values()), nearest, style="dim")
    table.add_row("straightness", *(f"{value:.3f}" for value in straight.values()), straightest, style="dim")
    table.add_row("train seconds", *(f"{scores['train_seconds']:.1f}" for scores in methods.values()), "", style="dim")
    table.add_row("parameters", *(f"{scores['parameters']:,}" for scores in methods.values()), "", style="dim")
    err.print(table)
    err.print(f"done in {seconds:.0f} s", soft_wrap=True)
    for name, about in (("figure.png", "figure:"), ("transport.gif", "film:  ")):
        if name in files:
            show(f"{about} {folder / name}")
    more = [name for name in files if not name.startswith(("figure.png", "transport"))]
    show(f"more:   {folder}/{', '.join(more)}, fields/")
