"""Options of generation, and which kind of model takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FLOW_OPTIONS: dict[str, Any] = {"routing": "frozen", "solver": "euler", "z0_scale": 1.0, "reread": False}
"""Options of generation that only a flow has, and their defaults."""


def refuse_flow_options(method: str, options: Mapping[str, Any]) -> None:
    """Accept what a flow takes at its default alone.

    Raises:
        ValueError: An option of the flow was set, or an option is unknown.
    """
    for name, value in options.items():
        if name not in FLOW_OPTIONS:
            raise ValueError(f"generate has no option {name!r}; a {method} model takes steps, samples and temperature")
        if value != FLOW_OPTIONS[name]:
            raise ValueError(f"{name} is an option of the flow, and this is a {method} model: leave it out")
