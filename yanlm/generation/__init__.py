"""Tensors in, tokens out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.generation.capabilities import Capabilities as Capabilities
    from yanlm.generation.flow_sampling import generate as generate
    from yanlm.generation.options import GenerationOptions as GenerationOptions
    from yanlm.generation.rereading import reread as reread
    from yanlm.generation.result import Generation as Generation
    from yanlm.generation.unmasking import unmask as unmask

_HOMES = {
    "Capabilities": "capabilities",
    "Generation": "result",
    "GenerationOptions": "options",
    "generate": "flow_sampling",
    "reread": "rereading",
    "unmask": "unmasking",
}

__all__ = ["Capabilities", "Generation", "GenerationOptions", "generate", "reread", "unmask"]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)
