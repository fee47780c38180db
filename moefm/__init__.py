"""Mixture-of-experts flow matching for PyTorch.

Names are loaded when they are first used: ``import moefm`` alone takes no time, not even that of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moefm.categorical import CategoricalLoss as CategoricalLoss
    from moefm.categorical import categorical_mixture_loss as categorical_mixture_loss
    from moefm.categorical import drawn_categorical_loss as drawn_categorical_loss
    from moefm.continuum import ContinuumField as ContinuumField
    from moefm.couplings import independent as independent
    from moefm.couplings import minibatch_ot as minibatch_ot
    from moefm.couplings import ot_within as ot_within
    from moefm.density import log_prob as log_prob
    from moefm.distillation import Distillation as Distillation
    from moefm.fields import MixtureField as MixtureField
    from moefm.fields import MLPMixtureField as MLPMixtureField
    from moefm.flow_maps import FlowMap as FlowMap
    from moefm.flow_maps import MLPFlowMap as MLPFlowMap
    from moefm.gating import Gate as Gate
    from moefm.information import InformationTime as InformationTime
    from moefm.io import load_field as load_field
    from moefm.io import save_field as save_field
    from moefm.losses import Loss as Loss
    from moefm.losses import consistent_moefm_loss as consistent_moefm_loss
    from moefm.losses import moefm_loss as moefm_loss
    from moefm.losses import responsibilities as responsibilities
    from moefm.losses import vfm_loss as vfm_loss
    from moefm.objectives import VFM as VFM
    from moefm.objectives import ConsistentMoEFM as ConsistentMoEFM
    from moefm.objectives import MoEFM as MoEFM
    from moefm.objectives import Objective as Objective
    from moefm.paths import BetaTime as BetaTime
    from moefm.paths import LogitNormalTime as LogitNormalTime
    from moefm.paths import UniformTime as UniformTime
    from moefm.paths import ZeroInflatedTime as ZeroInflatedTime
    from moefm.paths import linear_path as linear_path
    from moefm.regularizers import gate_entropy as gate_entropy
    from moefm.regularizers import load_balance as load_balance
    from moefm.regularizers import mmd2 as mmd2
    from moefm.regularizers import normal_mmd2 as normal_mmd2
    from moefm.regularizers import scale_penalty as scale_penalty
    from moefm.routing import Argmax as Argmax
    from moefm.routing import Frozen as Frozen
    from moefm.routing import Mean as Mean
    from moefm.routing import Resampled as Resampled
    from moefm.routing import Routing as Routing
    from moefm.sampling import Sample as Sample
    from moefm.sampling import sample as sample
    from moefm.semidiscrete import SemiDiscrete as SemiDiscrete
    from moefm.slices import sliced_w2 as sliced_w2
    from moefm.solvers import integrate as integrate
    from moefm.students import distill as distill
    from moefm.training import DivergedError as DivergedError
    from moefm.training import FitResult as FitResult
    from moefm.training import fit as fit

_HOMES = {
    "Argmax": "routing",
    "BetaTime": "paths",
    "CategoricalLoss": "categorical",
    "ConsistentMoEFM": "objectives",
    "ContinuumField": "continuum",
    "Distillation": "distillation",
    "DivergedError": "training",
    "FitResult": "training",
    "FlowMap": "flow_maps",
    "Frozen": "routing",
    "Gate": "gating",
    "InformationTime": "information",
    "LogitNormalTime": "paths",
    "Loss": "losses",
    "MLPFlowMap": "flow_maps",
    "MLPMixtureField": "fields",
    "Mean": "routing",
    "MixtureField": "fields",
    "MoEFM": "objectives",
    "Objective": "objectives",
    "Resampled": "routing",
    "Routing": "routing",
    "Sample": "sampling",
    "SemiDiscrete": "semidiscrete",
    "UniformTime": "paths",
    "VFM": "objectives",
    "ZeroInflatedTime": "paths",
    "categorical_mixture_loss": "categorical",
    "consistent_moefm_loss": "losses",
    "distill": "students",
    "drawn_categorical_loss": "categorical",
    "fit": "training",
    "gate_entropy": "regularizers",
    "independent": "couplings",
    "integrate": "solvers",
    "linear_path": "paths",
    "load_balance": "regularizers",
    "load_field": "io",
    "log_prob": "density",
    "minibatch_ot": "couplings",
    "mmd2": "regularizers",
    "moefm_loss": "losses",
    "normal_mmd2": "regularizers",
    "ot_within": "couplings",
    "responsibilities": "losses",
    "sample": "sampling",
    "save_field": "io",
    "scale_penalty": "regularizers",
    "sliced_w2": "slices",
    "vfm_loss": "losses",
}
"""Module of every public name."""

__version__ = "0.2.0"

__all__ = [
    "VFM",
    "Argmax",
    "BetaTime",
    "CategoricalLoss",
    "ConsistentMoEFM",
    "ContinuumField",
    "Distillation",
    "DivergedError",
    "FitResult",
    "FlowMap",
    "Frozen",
    "Gate",
    "InformationTime",
    "LogitNormalTime",
    "Loss",
    "MLPFlowMap",
    "MLPMixtureField",
    "Mean",
    "MixtureField",
    "MoEFM",
    "Objective",
    "Resampled",
    "Routing",
    "Sample",
    "SemiDiscrete",
    "UniformTime",
    "ZeroInflatedTime",
    "categorical_mixture_loss",
    "consistent_moefm_loss",
    "distill",
    "drawn_categorical_loss",
    "fit",
    "gate_entropy",
    "independent",
    "integrate",
    "linear_path",
    "load_balance",
    "load_field",
    "log_prob",
    "minibatch_ot",
    "mmd2",
    "moefm_loss",
    "normal_mmd2",
    "ot_within",
    "responsibilities",
    "sample",
    "save_field",
    "scale_penalty",
    "sliced_w2",
    "vfm_loss",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = globals()[name] = getattr(importlib.import_module(f"moefm.{_HOMES[name]}"), name)
            return value
        if name in _HOMES.values():  # moefm.losses, without an import of its own
            return importlib.import_module(f"moefm.{name}")
        raise AttributeError(f"module 'moefm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
