"""The optimizer of both stages."""

from __future__ import annotations

import torch
from torch import nn

from yanlm.training.schedule import TrainSettings

FUSED = ("cpu", "cuda")
"""Devices with a fused AdamW."""


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW; unless ``decay_all``, without weight decay on vectors (biases, norms), embeddings and Mamba's A.

    On a CPU and under CUDA one kernel updates a parameter and its moments: they are read once instead of ten times.

    Raises:
        ValueError: Nothing is left to train.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            spared = id(parameter) in tables or getattr(parameter, "_no_weight_decay", False)
            decays = settings.decay_all or (parameter.ndim >= 2 and not spared)
            groups.setdefault(settings.weight_decay if decays else 0.0, []).append(parameter)
    if not groups:
        raise ValueError("the model has nothing to train in this stage: prepare_stage froze every parameter")
    fused = all(p.device.type in FUSED for params in groups.values() for p in params)
    options = [{"params": params, "weight_decay": decay} for decay, params in groups.items()]
    return torch.optim.AdamW(options, lr=settings.lr, betas=settings.betas, fused=fused or None)
