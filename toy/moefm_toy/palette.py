"""The colours of figures: grey for the data, and colours for experts that differ for colour-blind readers too."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.colors import to_rgba
from torch import Tensor

from moefm_toy.experiment import MethodRun
from moefm_toy.settings import IN_INFORMATION_TIME

DATA = "#c8c8c8"
"""The grey of the data."""
_EXPERTS = (
    "#1e61d1", "#f09f15", "#0ca15c", "#b02701", "#b12683", "#17b5ea", "#2100c8", "#6b0f1f",
    "#a48e38", "#a220ff", "#380940", "#ad1c52",
)  # fmt: skip
"""Found by search: any two of the first eight are at least 30 apart in CIELAB, also as seen by people with red-green
blindness of either kind; any two of all, 16."""

TITLES = {"vfm": "VFM (one field)", "moefm": "MoE-FM (paper's loss)", "consistent": "MoE-FM (consistent loss)"}
LINES = {"vfm": "#555555", "moefm": "#d95f02", "consistent": "#1b6fb4"}
for _name, _method in IN_INFORMATION_TIME.items():
    TITLES[_name] = f"{TITLES[_method]},\ninformation time"
    LINES[_name] = LINES[_method]


def expert_colours(count: int) -> Tensor:
    """RGBA of every expert, ``(K, 4)``; neighbouring numbers differ clearly."""
    if count <= len(_EXPERTS):
        return torch.tensor([to_rgba(colour) for colour in _EXPERTS[:count]])
    place = (torch.arange(count) * 0.6180339887) % 1  # so that neighbours lie apart
    rank = place.argsort().argsort() / (count - 1)
    return torch.tensor([colormaps["viridis"](0.93 * float(value)) for value in rank])


def colours_of(run: MethodRun, assignment: Tensor | None) -> Any:
    """Colours of samples by their expert; one colour where no expert was assigned."""
    palette = expert_colours(run.field.num_experts)
    return palette[:1].numpy() if assignment is None else palette[assignment].numpy()
