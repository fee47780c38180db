"""The plane that figures are drawn in: the first two principal components of points of any dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from moefm_toy.units import Column

Limits = tuple[tuple[float, float], tuple[float, float]]


class Plane:
    """Projection fitted to data; the identity for points in the plane, a strip with jitter for points on a line.

    Args:
        data: Points ``(N, D)``.
        columns: Names and units of the D coordinates, if they have any.
        margin: Space around them, as a share of their extent.

    Example:
        >>> plane = Plane(torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 3.0, 1.0]]))
        >>> plane(torch.zeros(5, 3)).shape
        (5, 2)
    """

    def __init__(self, data: Tensor, columns: Sequence[Column] = (), margin: float = 0.2) -> None:
        self.dim = data.shape[-1]
        self.columns = columns
        self.centre = data.mean(0) if self.dim > 2 else torch.zeros(self.dim)
        if self.dim > 2:
            _, _, axes = torch.linalg.svd(data - self.centre, full_matrices=False)
            self.axes = torch.zeros(2, self.dim)
            self.axes[: len(axes[:2])] = axes[:2]
        else:
            self.axes = torch.eye(self.dim)
        points = torch.as_tensor(self(data))
        low, high = points.amin(0), points.amax(0)
        pad = margin * (high - low).clamp_min(1e-3)
        (x0, y0), (x1, y1) = (low - pad).tolist(), (high + pad).tolist()
        self.limits: Limits = ((x0, x1), (y0, y1))

    def __call__(self, points: Tensor) -> Any:
        """Project ``(N, D)`` to a NumPy array ``(N, 2)``."""
        flat = (points - self.centre) @ self.axes.T
        if self.dim == 1:  # a fixed pattern, so that the same point keeps its height
            height = (torch.arange(len(flat)) * 0.6180339887) % 1 - 0.5
            flat = torch.cat([flat, height.unsqueeze(-1).to(flat)], -1)
        return flat.numpy()

    def label(self, ax: Axes, left: bool = True, bottom: bool = True) -> None:
        """Name the axes at the left and at the bottom, with ticks in units if an axis is a column."""
        if self.dim > 2:
            if left:
                ax.set_ylabel("2nd principal component", fontsize=9)
            if bottom:
                ax.set_xlabel("1st principal component", fontsize=9)
        elif self.columns:
            if left and self.dim == 2:
                self.columns[1].label(ax, "y")
            if bottom:
                self.columns[0].label(ax, "x")

    @property
    def equal(self) -> bool:
        """Whether both axes have the same scale: not if they are columns of different units."""
        return self.dim > 2 or (self.dim == 2 and not self.columns)

    @property
    def aspect(self) -> float:
        """Height of a panel over its width: that of the data if both axes have the same scale, within limits."""
        (x0, x1), (y0, y1) = self.limits
        return min(1.4, max(0.4, (y1 - y0) / (x1 - x0))) if self.equal else 0.75

    def grid(self, count: int, limits: Limits) -> tuple[Tensor, tuple[int, int]]:
        """A ``count x count`` grid over the plane, as points ``(count^2, D)``, and its shape (rows go up)."""
        (x0, x1), (y0, y1) = limits
        x, y = torch.meshgrid(torch.linspace(x0, x1, count), torch.linspace(y0, y1, count), indexing="xy")
        flat = torch.stack([x, y], -1).reshape(-1, 2)
        return (flat[:, :1] if self.dim == 1 else flat @ self.axes + self.centre), (count, count)
