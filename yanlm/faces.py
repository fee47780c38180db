"""Packages whose names are loaded on first use: transformers takes seconds, and most commands do without it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def named(package: str, homes: Mapping[str, str], name: str) -> Any:
    """A name that a package offers, from the module that holds it.

    Args:
        package: The package's name.
        homes: Module of every name, relative to the package.
        name: What is asked for.

    Raises:
        AttributeError: The package does not offer it.

    Example:
        >>> named("yanlm.data", {"DataError": "rows"}, "DataError").__module__
        'yanlm.data.rows'
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
