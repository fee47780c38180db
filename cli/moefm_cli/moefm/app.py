"""The ``moefm`` command."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from moefm.installation import install
from moefm_cli.common import Screen, machine_facts, package_versions, print_json, run_app, show
from moefm_cli.moefm import tables
from moefm_cli.moefm import toy as moefm_toy
from moefm_cli.usage import Version

app = typer.Typer(
    help="Mixture-of-experts flow matching.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(help=moefm_toy.HELP)(moefm_toy.toy)
app.command(help=tables.FIT)(tables.fit)
app.command(help=tables.SAMPLE)(tables.sample)


@app.callback()
def moefm(version: Version = False) -> None:
    """Options of the program itself."""


def main() -> NoReturn:
    """Entry point of ``moefm``."""
    run_app(app, "moefm")


@app.command()
def datasets(
    json_: Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")] = False,
) -> None:
    """List the data sets of `moefm toy`."""
    from moefm_toy.datasets import list_datasets

    known = list_datasets()
    if json_:
        print_json({"datasets": [vars(dataset) for dataset in known]})
        return
    table = Table("name", "dim", "K", "points", "what it is")
    for data in known:
        table.add_row(data.name, str(data.dim), str(data.experts), str(data.points or "unlimited"), data.description)
    Screen().print(table)
    show("or a file of your own: moefm toy --dataset points.csv (.npy .npz .csv .parquet)")


@app.command()
def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")] = False,
) -> None:
    """Show which versions, devices and optional packages are in use."""
    import torch

    packages = package_versions(("torchdiffeq", "scikit-learn", "scipy", "matplotlib", "safetensors", "pyarrow", "pot"))
    facts: dict[str, Any] = {
        **machine_facts(),
        "mps": torch.backends.mps.is_available(),
        "grouped_mm": hasattr(torch.nn.functional, "grouped_mm"),
        "packages": packages,
    }
    if json_:
        print_json(facts)
        return
    missing = {
        "pyarrow": f"reads .parquet: {install('parquet')}",
        "pot": f"faster exact OT: {install('ot')}",
    }
    for name, value in facts.items():
        if name != "packages":
            show(f"{name:<12} {value if value != [] else 'none'}")
    for name, version in packages.items():
        show(f"{name:<12} {version or 'not installed; ' + missing.get(name, 'pip install ' + name)}")


if __name__ == "__main__":
    sys.exit(main())
