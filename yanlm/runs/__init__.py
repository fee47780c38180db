"""Whole runs: presets, settings, training, fine-tuning, and what is written about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.runs.finetuning import finetune as finetune
    from yanlm.runs.finetuning import finetune_settings as finetune_settings
    from yanlm.runs.listener import Listener as Listener
    from yanlm.runs.preset_facts import describe as describe
    from yanlm.runs.presets import PRESETS as PRESETS
    from yanlm.runs.presets import get_preset as get_preset
    from yanlm.runs.run import train as train
    from yanlm.runs.settings import RunSettings as RunSettings
    from yanlm.runs.settings import resolve as resolve

_HOMES = {
    "Listener": "listener",
    "PRESETS": "presets",
    "RunSettings": "settings",
    "describe": "preset_facts",
    "finetune": "finetuning",
    "finetune_settings": "finetuning",
    "get_preset": "presets",
    "resolve": "settings",
    "train": "run",
}

__all__ = [
    "PRESETS",
    "Listener",
    "RunSettings",
    "describe",
    "finetune",
    "finetune_settings",
    "get_preset",
    "resolve",
    "train",
]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)
