"""Options of generation that ``yanlm generate`` and ``yanlm evaluate`` share, and which models take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from moefm_cli.common import UsageError

Temperature = Annotated[
    float,
    typer.Option(
        help="0 takes the most probable token. Of a baseline, of a flow whose encoder denoises, or with --reread."
    ),
]
Order = Annotated[
    str,
    typer.Option(
        help="confidence, random or margin first. Of masked models, with --sampler diffusion, or with --reread."
    ),
]
Candidates = Annotated[
    int, typer.Option(help="Results computed for each sample, the most probable is kept; where the encoder denoises.")
]
Sampler = Annotated[
    str, typer.Option(help="flow, or diffusion: masked diffusion by a flow whose encoder denoises, a pass a step.")
]


def check_counts(counts: Mapping[str, int | None]) -> None:
    """Check numbers that were typed, by the name of their parameter; ``None`` where there is none.

    Raises:
        UsageError: One is below 1.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
