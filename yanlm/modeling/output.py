"""What the forward pass of a model returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils.generic import ModelOutput


@dataclass
class YanOutput(ModelOutput):
    """Loss of a stage and its detached parts."""

    loss: Tensor | None = None
    parts: dict[str, Tensor] | None = None
