"""Settings in a TOML file, ``--config``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from moefm_cli.common import UsageError


def table_of(config: Path | None) -> dict[str, Any]:
    """The contents of a TOML file; empty if there is none.

    Raises:
        UsageError: It cannot be read, or is no TOML.
    """
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8-sig"))  # without the mark that some editors write first
    except OSError as error:
        raise UsageError(f"--config {config} cannot be read: {error.strerror or error}; check the path") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {config} is not UTF-8: {error}; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config {config} is no TOML: {error}") from None
