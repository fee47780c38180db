"""``moefm fit`` and ``moefm sample``: a flow for a table in a file, and new rows from it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moefm_cli.common import UsageError, err, pick_device, print_json, show
from moefm_cli.max_bytes import MaxBytes

if TYPE_CHECKING:
    from moefm.sklearn import MoEFlow
    from moefm.sklearn.conditions import Conditions

FIT = """Fit a flow to the rows of a table and save it.

\b
moefm fit people.csv --out people
moefm fit people.csv --out people --experts 8 --given age,team
"""
SAMPLE = """Draw new rows from a flow that `moefm fit` saved, as csv.

\b
moefm sample people -n 10000 > new.csv
moefm sample people -n 100 --given age=30 --given team=red --out new.csv
"""
ORDER = "columns.json"
MOST_SEED = 2**32 - 1


def fit(
    file: Annotated[Path, typer.Argument(help="A table: .csv with a header line, .parquet, .npy or .npz.")],
    out: Annotated[Path, typer.Option(help="Folder for the flow.")],
    given: Annotated[str | None, typer.Option(help="Columns that are given as conditions, such as age,team.")] = None,
    experts: Annotated[str, typer.Option(help="Number of experts, or auto (chosen on held-out rows).")] = "auto",
    steps: Annotated[int, typer.Option(help="Training steps.")] = 1000,
    drop_missing: Annotated[bool, typer.Option("--drop-missing", help="Leave out rows with missing values.")] = False,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    max_bytes: MaxBytes = None,
    json_: Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")] = False,
) -> None:
    """Read the table, fit, save."""
    if experts != "auto" and not (experts.isdecimal() and int(experts) > 0):
        raise UsageError(f"--experts must be auto or a number of at least 1, got {experts!r}")
    if steps < 1:
        raise UsageError(f"--steps must be at least 1, got {steps}")
    _check_seed(seed)
    if out.exists() and not (out / ORDER).exists() and (out.is_file() or any(out.iterdir())):
        raise UsageError(f"--out must be a new folder, or one that moefm fit wrote, got {out}")
    from moefm_cli.moefm.table_files import read_columns

    columns = read_columns(file)
    order, names = list(columns), [] if given is None else list(dict.fromkeys(map(str.strip, given.split(","))))
    unknown = [name for name in names if name not in columns]
    if unknown or set(names) == set(order):
        raise UsageError(f"--given must name some of the columns {', '.join(order)}, got {given!r}")
    from moefm.sklearn import MoEFlow
    from moefm_toy.folders import prepare_folder

    device = pick_device(device)
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    prepare_folder(out)
    flow = MoEFlow(
        experts if experts == "auto" else int(experts), train_steps=steps, random_state=seed,
        missing="drop" if drop_missing else "refuse", device=device, verbose=sys.stderr.isatty(),
    )  # fmt: skip
    cond = {name: columns.pop(name) for name in names} or None
    try:
        flow.fit(columns, cond=cond)
    except (ValueError, TypeError) as error:
        for folder in new:
            folder.rmdir()
        raise UsageError(str(error).replace("give missing='drop'", "give --drop-missing")) from None
    flow.save(out)
    (out / ORDER).write_text(json.dumps(order) + "\n", encoding="utf-8")
    if json_:
        print_json({"out": str(out), "rows": flow.n_rows_, "columns": order, "experts": flow.n_experts_,
                    "distances": getattr(flow, "distances_", None)})  # fmt: skip
    else:
        show(f"{flow.n_rows_} rows, {flow.n_experts_} experts: {out}")
        err.print(f"new rows: moefm sample {out} -n 1000 > new.csv", soft_wrap=True)


def sample(
    folder: Annotated[Path, typer.Argument(help="Folder written by moefm fit.")],
    n: Annotated[int, typer.Option("-n", "--rows", help="Number of rows.")],
    given: Annotated[
        list[str] | None, typer.Option(help="Value of a given column, such as age=30; one option for each column.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the sampler.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the rows. Default: standard output.")] = None,
) -> None:
    """Load the flow, draw, write csv."""
    _check_seed(seed)
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UsageError(f"--out must be a file in a folder that exists, got {out}")
    from moefm.sklearn import MoEFlow
    from moefm_cli.moefm.table_files import as_csv

    flow = MoEFlow.load(folder)
    texts = _given(given or [], flow)
    flow.coordinates_ = flow.coordinates_.as_dictionary()
    drawn = flow.sample(n, steps, cond=_values(texts, flow.conditions_) or None, random_state=seed)
    drawn |= {name: [text] * n for name, text in texts.items()}
    order = _order(folder / ORDER, list(drawn))
    text = as_csv({name: drawn[name] for name in order})
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= MOST_SEED:
        raise UsageError(f"--seed must be from 0 to {MOST_SEED}, got {seed}")


def _order(file: Path, names: list[str]) -> list[str]:
    """The order of the columns in the table that was fitted; that of ``names`` if it was fitted in Python."""
    if not file.exists():
        return names
    try:
        order = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        order = None
    if not isinstance(order, list) or Counter(map(str, order)) != Counter(names):
        raise UsageError(f"{file} must list the columns {', '.join(names)}: restore it, or remove it for this order")
    return order


def _given(pairs: Sequence[str], flow: MoEFlow) -> dict[str, str]:
    """What each given column is, as it was typed."""
    names = [] if flow.conditions_ is None else flow.conditions_.names
    typed = [tuple(map(str.strip, pair.split("=", 1))) for pair in pairs]
    if Counter(pair[0] for pair in typed) != Counter(names) or any(len(pair) < 2 for pair in typed):
        wanted = ", ".join(f"--given {name}=..." for name in names) or "no --given: the flow was fitted without"
        raise UsageError(f"rows need {wanted}, got {', '.join(pairs) or 'none'}")
    return {pair[0]: pair[1] for pair in typed}


def _values(texts: dict[str, str], conditions: Conditions | None) -> dict[str, Any]:
    """The same as the numbers and labels of the columns."""
    from moefm_toy.csv_points import number

    values: dict[str, Any] = {}
    for name, column in () if conditions is None else zip(conditions.names, conditions.columns, strict=True):
        labels = getattr(column, "levels", None) or [getattr(column, "value", None)]  # none of a column of numbers
        known = {str(label): label for label in labels}
        if texts[name] in known or isinstance(labels[0], str | bool):
            values[name] = known.get(texts[name], texts[name])
            continue
        if (value := number(texts[name])) is None:
            raise UsageError(f"--given {name} must be a number, got {texts[name]!r}")
        values[name] = value
    return values
