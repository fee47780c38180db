"""What decides the numbers of a toy run: its settings, and where its randomness comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

METHODS = ("vfm", "moefm", "consistent")
IN_INFORMATION_TIME = {f"{name}-information": name for name in METHODS}
"""The same methods, trained in information time and sampled on its grid."""
LAST = 0.25
"""Share of the last step of that grid, see :meth:`moefm.InformationTime.grid`."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers of a run.

    Attributes:
        methods: Which of ``vfm``, ``moefm``, ``consistent``, or ``vfm-information`` and so on for information time;
            ``None`` takes the data set's.
        experts: K of the mixtures; ``None`` takes the data set's.
        sigma: Sigma of the mixtures; ``None`` takes each method's own.
        steps: Step counts to sample with.
        train_steps: Optimizer steps.
        batch_size: Evaluations of the trunk a step: the consistent loss uses half as many pairs.
        points: Samples per measurement; fewer where a data set has fewer held-out points.
        clouds: Measurements to average, each with samples and held-out points of its own where those do not run out.
        hidden: Width of VFM's layers, ``None`` takes the data set's; the mixtures get the width that matches its
            parameters.
        coupling: ``independent`` or ``ot``.
        routing: Routing policy of the sampler.
        solver: Solver of the sampler.
        lr: Peak learning rate; ``None`` takes each method's own.
        ema: Decay of the average of the weights, 0 for none.
        device: Where to train and sample.
    """

    methods: tuple[str, ...] | None = None
    experts: int | None = None
    sigma: float | None = None
    steps: tuple[int, ...] = (1, 2, 4, 8, 100)
    train_steps: int = 3000
    batch_size: int = 256
    points: int = 1000
    clouds: int = 3
    hidden: int | None = None
    coupling: str = "independent"
    routing: str = "frozen"
    solver: str = "euler"
    lr: float | None = None
    ema: float = 0.0
    device: str = "cpu"


def settings_dict(settings: Settings) -> dict[str, Any]:
    """Settings as JSON holds them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}


def generator(seed: int, stream: int) -> torch.Generator:
    """A generator for one purpose: streams of the same seed do not overlap."""
    return torch.Generator().manual_seed(1_000_003 * seed + stream)
