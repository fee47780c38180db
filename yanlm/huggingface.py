"""``AutoConfig`` and ``AutoModel`` know the models after ``import yanlm``, which does not load transformers for it."""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

REGISTERING = {
    "transformers.models.auto.configuration_auto": ("yanlm.config",),
    "transformers.models.auto.modeling_auto": ("yanlm.modeling.yan", "yanlm.modeling.autoregressive"),
}
"""Modules of transformers, and ours that belong to them; these register when imported, or by ``register``."""


class _AfterTransformers(importlib.abc.MetaPathFinder):
    """Imports our modules as soon as those of transformers that list models have been imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the other finders give, with a loader that calls :func:`register` afterwards."""
        if _waiting and not _half_imported():
            for late in list(_waiting):
                register(late)
        if name not in REGISTERING:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                register(name)

            loader.exec_module = exec_module
        return spec


_waiting: set[str] = set()
"""Modules of transformers imported by one of ours that was not complete yet; the next import registers them."""


def _half_imported() -> list[str]:
    """Modules of ours whose import has begun and not ended yet."""
    ours = [(name, module) for name, module in list(sys.modules.items()) if name.startswith("yanlm.")]
    return [name for name, module in ours if getattr(module.__spec__, "_initializing", False)]


def register(name: str) -> None:
    """Import what registers itself in the module ``name``; a module that is half imported does so at its own end."""
    _waiting.discard(name)
    for own in REGISTERING[name]:
        try:
            module = sys.modules.get(own) or importlib.import_module(own)
            getattr(module, "register", lambda: None)()
        except ImportError:
            if not _half_imported():
                raise
            _waiting.add(name)  # it needs one of ours that is not complete yet


def watch() -> None:
    """Register now if transformers is loaded already, else as soon as it is."""
    if not any(isinstance(finder, _AfterTransformers) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterTransformers())
    for name in REGISTERING:
        if name in sys.modules:
            register(name)
