"""Options of generation that several commands share, and which models take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from moefm_cli.common import UsageError

TEMPERATURE = typer.Option(
    help="0 takes the most probable token. For baselines, flows whose encoder denoises, and --reread."
)
ORDER = typer.Option(
    help="Slots to fill first: confidence, random or margin. For masked models, --sampler diffusion and --reread."
)
CANDIDATES = typer.Option(help="If the encoder denoises: results for each sample, of which the most probable is kept.")
PERTURB = typer.Option(
    help="If the encoder denoises: how strongly the first pass follows the noise; at 0 all samples begin alike."
)
SAMPLER = typer.Option(help="flow, or diffusion (masked diffusion with a model whose encoder denoises).")
PRECISIONS = ("float32", "bfloat16")


def _precision(value: str) -> str:
    if value not in PRECISIONS:
        raise UsageError(f"--precision must be one of {', '.join(PRECISIONS)}, got {value!r}")
    return value


Precision = Annotated[
    str,
    typer.Option(
        callback=_precision,
        help="float32 or bfloat16: half the memory, faster for large models and batches; a few words differ.",
    ),
]


def check_counts(counts: Mapping[str, int | None]) -> None:
    """Check numbers that were typed, by the name of their parameter; ``None`` where there is none.

    Raises:
        UsageError: One is below 1.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
