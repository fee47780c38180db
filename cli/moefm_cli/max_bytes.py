"""The option ``--max-bytes``: how much of one data file is read, in every command that reads data."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from moefm_cli.common import UsageError


def _raise_cap(size: str | None) -> str | None:
    """Store the size where the readers of files look for it, also in other processes."""
    if size is not None:
        from moefm.reading import VARIABLE, parse_bytes

        try:
            os.environ[VARIABLE] = str(parse_bytes(size))
        except ValueError as error:
            raise UsageError(f"--max-bytes: {error}") from None
    return size


MaxBytes = Annotated[
    str | None,
    typer.Option(callback=_raise_cap, help="Largest data file after decompression, such as 4G. Default: 1G."),
]
