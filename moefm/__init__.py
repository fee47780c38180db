"""Mixture-of-experts flow matching for PyTorch."""

from moefm.categorical import CategoricalLoss, categorical_mixture_loss, drawn_categorical_loss
from moefm.continuum import ContinuumField
from moefm.couplings import independent, minibatch_ot, ot_within
from moefm.density import log_prob
from moefm.distillation import Distillation
from moefm.fields import MixtureField, MLPMixtureField
from moefm.flow_maps import FlowMap, MLPFlowMap
from moefm.gating import Gate
from moefm.information import InformationTime
from moefm.io import load_field, save_field
from moefm.losses import Loss, consistent_moefm_loss, moefm_loss, responsibilities, vfm_loss
from moefm.objectives import VFM, ConsistentMoEFM, MoEFM, Objective
from moefm.paths import BetaTime, LogitNormalTime, UniformTime, ZeroInflatedTime, linear_path
from moefm.regularizers import gate_entropy, load_balance, mmd2, normal_mmd2, scale_penalty
from moefm.routing import Argmax, Frozen, Mean, Resampled, Routing
from moefm.sampling import Sample, sample
from moefm.solvers import integrate
from moefm.students import distill
from moefm.training import DivergedError, FitResult, fit

__version__ = "0.1.0"

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
    "vfm_loss",
]
