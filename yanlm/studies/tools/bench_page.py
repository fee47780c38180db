"""What a bench found, as tables to read."""

from __future__ import annotations

from collections.abc import Sequence

from yanlm.studies.tools.study import Json, markdown

HEAD = ("model", "L", "batch", "seconds", "tokens/s", "memory, GB", "times yan")


def bench_page(document: Json) -> str:
    """Tables of models, of the parts of our generation, and of its share of what the machine can.

    Args:
        document: What :func:`yanlm.studies.bench.bench` returns.
    """
    tables = [markdown(HEAD, [_row(row) for row in document["rows"]])]
    if document["parts"]:
        names = list(next(iter(document["parts"].values())))
        rows = [[cell, *(f"{part[name]:.3g}" for name in names)] for cell, part in document["parts"].items()]
        tables.append(markdown(["seconds of yan's", *(name.replace("_", " ") for name in names)], rows))
    roofline = document["roofline"]
    if roofline["cells"]:
        head = ["yan", "matrix rate", "copy rate"]
        rows = [[cell, *(_share(at, name) for name in head[1:])] for cell, at in roofline["cells"].items()]
        tables.append(markdown(["share of the machine's", *head[1:]], rows))
    tables += [_growth(label, fit) for label, fit in document["fit"].items()]
    rates = (
        f"{roofline['matrix_tflops']:.3g} TFLOP/s in matrix products, {roofline['copy_gb_per_s']:.3g} GB/s in copies"
    )
    load = f", load {document['load'][0]}" if document["load"] else ""
    return "\n\n".join([*tables, f"{document['device']}: {rates}{load}"])


def _row(row: Json) -> Sequence[str]:
    spread = f"{row['seconds']:.3g} ({row['low']:.3g}-{row['high']:.3g})"
    memory = "" if row["peak_memory_gb"] is None else f"{row['peak_memory_gb']:.2f}"
    rate = f"{row['tokens_per_second']:,.0f}"
    ratio = "" if row["ratio_to_yan"] is None else f"{row['ratio_to_yan']:.2f}"
    return [row["model"], str(row["length"]), str(row["batch"]), spread, rate, memory, ratio]


def _share(cell: Json, name: str) -> str:
    value = cell.get(f"share_of_{name.replace(' ', '_')}")
    return "" if value is None else f"{value:.1%}"


def _growth(label: str, fit: Json) -> str:
    parts = f"{fit['constant']:.3g} + {fit['per_token']:.3g} L + {fit['per_token_squared']:.3g} L² seconds"
    return f"{label}: {parts}, at most {fit['largest_error']:.0%} off"
