"""The optimizer of both stages."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from yanlm.training.muon import Muon, matrices, tables
from yanlm.training.schedule import TrainSettings

FUSED = ("cpu", "cuda")
"""Devices with a fused AdamW."""


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW, or Muon for matrices and AdamW for the rest.

    Unless ``decay_all``, vectors (biases, norms), embeddings and Mamba's A have no weight decay. On a CPU and under
    CUDA one kernel updates a parameter and AdamW's moments: they are read once instead of ten times.

    Raises:
        ValueError: Nothing is left to train.
    """
    embeddings = tables(model)
    hidden = {id(w) for w in matrices(model)} if settings.optimizer == "muon" else set()
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            spared = id(parameter) in embeddings or getattr(parameter, "_no_weight_decay", False)
            decays = settings.decay_all or (parameter.ndim >= 2 and not spared)
            key = (id(parameter) in hidden, settings.weight_decay if decays else 0.0)
            groups.setdefault(key, []).append(parameter)
    if not groups:
        raise ValueError("the model has nothing to train in this stage: prepare_stage froze every parameter")

    def options(kind: bool) -> list[dict[str, Any]]:
        return [{"params": params, "weight_decay": decay} for (own, decay), params in groups.items() if own is kind]

    fused = all(p.device.type in FUSED for params in groups.values() for p in params)
    adamw: dict[str, Any] = {"betas": settings.betas, "fused": fused or None}
    if settings.optimizer == "muon":
        return Muon(options(True), options(False), lr=settings.lr, adamw=adamw)
    return torch.optim.AdamW(options(False), lr=settings.lr, **adamw)
