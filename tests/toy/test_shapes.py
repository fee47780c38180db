"""Shapes in the plane are what their names say."""

import numpy as np
import pytest
import torch
from toy_runs import seeded

from moefm_toy.datasets import load_dataset


class TestShapes:
    def test_moons_follow_scikit_learn(self) -> None:
        from scipy.spatial import cKDTree
        from sklearn.datasets import make_moons

        ours = load_dataset("moons").draw(4000, seeded()).numpy()
        theirs = 1.5 * (make_moons(4000, noise=0.05, random_state=0)[0] - [0.5, 0.25])
        np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.06)
        np.testing.assert_allclose(np.cov(ours.T), np.cov(theirs.T), atol=0.06)
        for a, b in [(ours, theirs), (theirs, ours)]:
            assert np.quantile(cKDTree(a).query(b)[0], 0.99) < 0.1

    def test_grid_points_lie_on_nine_arcs(self) -> None:
        points = load_dataset("grid").draw(4000, seeded()) + torch.tensor([0.0, 1 / np.pi])
        centers = 2.0 * (points / 2).round()
        assert len(centers.unique(dim=0)) == 9
        radius = (points - centers).norm(dim=-1)
        assert (radius - 0.5).abs().max() < 0.3 and abs(float(radius.std()) - 0.05) < 0.01
        assert (points - centers)[:, 1].min() > -0.25

    def test_checkerboard_squares_have_one_colour(self) -> None:
        squares = load_dataset("checkerboard").draw(4000, seeded()).floor()
        assert (squares.sum(dim=-1) % 2 == 0).all()
        counts = squares.unique(dim=0, return_counts=True)[1]
        assert len(counts) == 8 and counts.min() > 400

    def test_rings_have_three_radii(self) -> None:
        radius = load_dataset("rings").draw(4000, seeded()).norm(dim=-1)
        gap = (radius[:, None] - torch.tensor([0.6, 1.4, 2.2])).abs()
        assert gap.min(dim=-1).values.max() < 0.25
        assert gap.argmin(dim=-1).bincount().min() > 1200

    @pytest.mark.parametrize(("name", "fold"), [("spirals", 2), ("pinwheel", 5)])
    def test_turning_by_one_arm_changes_nothing(self, name: str, fold: int) -> None:
        from scipy.spatial import cKDTree

        points = load_dataset(name).draw(6000, seeded())
        turn = torch.tensor(2 * np.pi / fold)
        rotation = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()]).view(2, 2)
        apart = cKDTree(points[:3000].numpy()).query((points[3000:] @ rotation).numpy())[0]
        assert np.quantile(apart, 0.95) < 0.15
