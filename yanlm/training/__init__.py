"""The loop of one stage, for any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.training.checkpoints import CheckpointError as CheckpointError
    from yanlm.training.loop import make_accelerator as make_accelerator
    from yanlm.training.loop import train_stage as train_stage
    from yanlm.training.schedule import TrainSettings as TrainSettings

_HOMES = {
    "CheckpointError": "checkpoints",
    "TrainSettings": "schedule",
    "make_accelerator": "loop",
    "train_stage": "loop",
}

__all__ = ["CheckpointError", "TrainSettings", "make_accelerator", "train_stage"]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)
