"""Whole models: network, objectives and generation together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.modeling.autoregressive import ARModel as ARModel
    from yanlm.modeling.build import make_builder as make_builder
    from yanlm.modeling.description import count_parameters as count_parameters
    from yanlm.modeling.ensemble import Ensemble as Ensemble
    from yanlm.modeling.io import load_model as load_model
    from yanlm.modeling.io import model_folder as model_folder
    from yanlm.modeling.io import save_model as save_model
    from yanlm.modeling.output import YanOutput as YanOutput
    from yanlm.modeling.yan import YanModel as YanModel

_HOMES = {
    "ARModel": "autoregressive",
    "Ensemble": "ensemble",
    "YanModel": "yan",
    "YanOutput": "output",
    "count_parameters": "description",
    "load_model": "io",
    "make_builder": "build",
    "model_folder": "io",
    "save_model": "io",
}

__all__ = [
    "ARModel",
    "Ensemble",
    "YanModel",
    "YanOutput",
    "count_parameters",
    "load_model",
    "make_builder",
    "model_folder",
    "save_model",
]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)
