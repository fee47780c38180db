"""``moefm fit`` and ``moefm sample``: a flow for a table in a file, and new rows from it."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moefm_cli.common import UsageError, err, pick_device, print_json, show
from moefm_cli.max_bytes import MaxBytes

if TYPE_CHECKING:
    from moefm.sklearn import MoEFlow

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


def read_columns(path: Path) -> dict[str, Any]:
    """The columns of a .csv file by their names, integers, floats or texts; of other files as their library has them.

    Raises:
        UsageError: The file is of another kind, or a row has another length than the header.
    """
    from moefm.reading import read_bytes

    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        from moefm_toy.readers import read_points

        return {str(place): column for place, column in enumerate(read_points(path).T)}
    if not path.is_file():
        raise UsageError(f"{path} is not a file; check the path")
    content = read_bytes(path)
    if kind == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(io.BytesIO(content))
        return {name: typed(column.to_pylist()) for name, column in zip(table.column_names, table.columns, strict=True)}
    if kind != ".csv":
        raise UsageError(f"{path} has the extension {kind!r}; accepted are .csv, .parquet, .npy and .npz")
    return _parse_csv(path, content)


def _parse_csv(path: Path, content: bytes) -> dict[str, Any]:
    from moefm.plain_text import separator

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator(text), skipinitialspace=True)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise UsageError(f"{path} holds no rows; it needs a line of names and one row a line")
    names = rows[0][1]
    if "" in names or len(set(names)) < len(names):
        raise UsageError(f"{path}: the first line must name every column once, got {', '.join(names)}")
    if all(map(_is_number, names)) and not all(name.isdecimal() for name in names):
        raise UsageError(f"{path}: the first line must name the columns, got numbers: {', '.join(names[:5])}")
    for line, row in rows[1:]:
        if len(row) != len(names):
            raise UsageError(f"{path}: line {line} has {len(row)} columns, {len(names)} expected")
    return {name: typed([row[place] for _, row in rows[1:]]) for place, name in enumerate(names)}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def typed(cells: Sequence[Any]) -> Any:
    """A column from its cells: integers if all are, else floats if all are, else texts; None where one is missing."""
    import numpy as np

    from moefm.plain_text import MISSING

    values = [None if cell is None or str(cell).lower() in MISSING | {""} else cell for cell in cells]
    for kind in (int, float):
        try:
            parsed = [None if v is None or "_" in str(v) else kind(str(v)) for v in values]
        except ValueError:
            continue
        return np.array(parsed, dtype=object if None in parsed else None)
    return np.array([None if v is None else str(v) for v in values], dtype=object)


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
    if out.exists() and not (out / ORDER).exists() and (out.is_file() or any(out.iterdir())):
        raise UsageError(f"--out must be a new folder, or one that moefm fit wrote, got {out}")
    columns = read_columns(file)
    order, names = list(columns), [] if given is None else [name.strip() for name in given.split(",")]
    unknown = [name for name in names if name not in columns]
    if unknown or set(names) == set(order):
        raise UsageError(f"--given must name some of the columns {', '.join(order)}, got {given!r}")
    from moefm.sklearn import MoEFlow

    flow = MoEFlow(
        experts if experts == "auto" else int(experts), train_steps=steps, random_state=seed,
        missing="drop" if drop_missing else "refuse", device=pick_device(device), verbose=sys.stderr.isatty(),
    )  # fmt: skip
    cond = {name: columns.pop(name) for name in names} or None
    try:
        flow.fit(columns, cond=cond)
    except ValueError as error:
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
    from moefm.sklearn import MoEFlow

    flow = MoEFlow.load(folder)
    values = _given(given or [], flow)
    drawn = {**flow.sample(n, steps, cond=values or None, random_state=seed)}
    drawn |= {name: [value] * n for name, value in values.items()}
    order = json.loads((folder / ORDER).read_text(encoding="utf-8")) if (folder / ORDER).exists() else list(drawn)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(order)
    writer.writerows(zip(*([_cell(value) for value in drawn[name]] for name in order), strict=True))
    if out is None:
        sys.stdout.write(text.getvalue())
    else:
        out.write_text(text.getvalue(), encoding="utf-8")


def _given(pairs: Sequence[str], flow: MoEFlow) -> dict[str, Any]:
    """Values of the given columns, as numbers if the column holds numbers."""
    conditions = flow.conditions_
    known = {} if conditions is None else dict(zip(conditions.names, conditions.columns, strict=True))
    texts: Mapping[str, str] = dict(tuple(map(str.strip, pair.split("=", 1))) for pair in pairs if "=" in pair)  # type: ignore[misc]
    if set(texts) != set(known):
        wanted = ", ".join(f"--given {name}=..." for name in known) or "no --given: the flow was fitted without"
        raise UsageError(f"rows need {wanted}, got {', '.join(pairs) or 'none'}")
    values = {}
    for name, text in texts.items():
        try:
            values[name] = float(text) if known[name].kind in ("number", "integer") else text
        except ValueError:
            raise UsageError(f"--given {name} must be a number, got {text!r}") from None
    return values


def _cell(value: Any) -> Any:
    return f"{value:.7g}" if isinstance(value, float) else value
