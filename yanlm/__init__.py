"""Non-autoregressive language modelling with a latent mixture-of-experts flow."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yanlm.config import YanConfig
    from yanlm.modeling.yan import YanModel
    from yanlm.writer import Writer

_HOMES = {"YanConfig": "yanlm.config", "YanModel": "yanlm.modeling.yan", "Writer": "yanlm.writer"}

__all__ = ["Writer", "YanConfig", "YanModel"]


def __getattr__(name: str) -> Any:
    """Import on first use: transformers takes seconds, and most commands do without it."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'yanlm' has no attribute {name!r}")
