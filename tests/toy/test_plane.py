"""The plane that figures are drawn in."""

import pytest
import torch
from matplotlib.figure import Figure

from moefm_toy.plane import Plane
from moefm_toy.units import Column


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_plane_projects_any_dimension(dim):
    points = torch.randn(50, dim, generator=torch.Generator().manual_seed(0))
    plane = Plane(points)
    assert plane(points).shape == (50, 2)
    grid, shape = plane.grid(7, plane.limits)
    assert grid.shape == (49, dim)
    assert shape == (7, 7)
    back = torch.as_tensor(plane(grid))[:, 0].reshape(7, 7)
    assert back[0, 0] < back[0, -1]  # the first axis runs along a row
    (low, high), _ = plane.limits
    assert low < plane(points)[:, 0].min() <= plane(points)[:, 0].max() < high


def test_plane_shows_the_widest_directions():
    points = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 5.0, 0.1, 2.0])
    assert Plane(points)(points).std(0) == pytest.approx([5, 2], rel=0.2)


@pytest.mark.parametrize(
    ("dim", "columns", "equal"), [(1, 1, False), (2, 0, True), (2, 2, False), (3, 3, True)], ids=str
)
def test_only_coordinates_of_one_kind_have_one_scale(dim, columns, equal):
    points = torch.randn(50, dim, generator=torch.Generator().manual_seed(0))
    plane = Plane(points, [Column(f"c{k}") for k in range(columns)])
    assert plane.equal is equal
    ax = Figure().subplots()
    plane.label(ax)
    names = {1: ("c0", ""), 2: ("c0", "c1"), 3: ("1st principal component", "2nd principal component")}
    assert (ax.get_xlabel(), ax.get_ylabel()) == (names[dim] if columns else ("", ""))
