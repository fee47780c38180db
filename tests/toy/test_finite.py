"""Finite data: split once, brought to unit scale, and back to their units."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_runs import seeded

from moefm_toy.datasets import Dataset, load_dataset
from moefm_toy.named_points import DataError

SIZES = {"digits": (1438, 359), "iris": (120, 30), "file": (160, 40)}


class TestFinite:
    @pytest.fixture(params=list(SIZES))
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_split_is_80_to_20(self, name: str, members: dict[str, Dataset]) -> None:
        assert (members[name].max_train, members[name].max_test) == SIZES[name]

    def test_held_out_points_are_drawn_once_each(self, name: str, members: dict[str, Dataset]) -> None:
        dataset = members[name]
        count = dataset.max_test
        assert count is not None
        first, second = dataset.draw_test(count, seeded(0)), dataset.draw_test(count, seeded(1))
        assert sorted(first.tolist()) == sorted(second.tolist())
        assert not torch.equal(first, second)
        with pytest.raises(ValueError, match=f"n must be at most {count}, the held-out points of .*, got {count + 1}"):
            dataset.draw_test(count + 1, seeded())

    def test_held_out_is_disjoint_from_train(self, name: str, members: dict[str, Dataset]) -> None:
        dataset = members[name]
        assert dataset.max_train is not None and dataset.max_test is not None
        train = set(map(tuple, dataset.draw(20 * dataset.max_train, seeded()).tolist()))
        test = set(map(tuple, dataset.draw_test(dataset.max_test, seeded()).tolist()))
        assert not train & test
        # With so many draws every training row is met; iris holds one flower twice.
        assert len(train) + len(test) == dataset.max_train + dataset.max_test - (name == "iris")

    def test_split_follows_the_seed(self) -> None:
        def held_out(seed: int) -> list[list[float]]:
            iris = load_dataset("iris", seed=seed)
            return sorted(iris.inverse(iris.draw_test(30, seeded())).tolist())

        assert held_out(0) == held_out(0) != held_out(1)


class TestReal:
    @pytest.mark.parametrize("dim", [2, 16])
    def test_digits_dimensions(self, dim: int) -> None:
        digits = load_dataset("digits", dim=dim)
        points = digits.draw(20_000, seeded())
        assert digits.dim == dim and points.shape[1] == dim
        assert float(points.std(dim=0).mean()) == pytest.approx(1.0, abs=0.02)

    def test_digits_go_back_to_their_images(self) -> None:
        from sklearn.datasets import load_digits

        digits = load_dataset("digits", dim=16)
        images = digits.inverse(digits.draw_test(359, seeded())).numpy()
        assert images.shape == (359, 64)
        originals = load_digits().data
        nearest = ((images[:, None] - originals[None]) ** 2).sum(axis=-1).min(axis=1)
        assert nearest.mean() < 0.2 * originals.var(axis=0).sum()  # 16 of 64 components keep 85%

    def test_iris_goes_back_to_its_measurements(self) -> None:
        from sklearn.datasets import load_iris

        iris = load_dataset("iris")
        flowers = {tuple(row) for row in load_iris().data.tolist()}
        assert {tuple(row) for row in iris.inverse(iris.draw_test(30, seeded())).numpy().round(1).tolist()} <= flowers


class TestFiles:
    def test_file_is_standardised_and_goes_back(self, members: dict[str, Dataset]) -> None:
        dataset = members["file"]
        assert (dataset.name, dataset.dim, dataset.experts) == ("my.points", 3, 8)
        assert dataset.description == "200 points of dimension 3 from my.points.npy"
        original = dataset.inverse(dataset.draw(20_000, seeded()))
        torch.testing.assert_close(original.std(dim=0), torch.tensor([2.0, 1e-3, 40.0]).double(), rtol=0.2, atol=0.0)
        assert abs(float(original[:, 0].mean()) - 5e8) < 1  # not lost to float32, whose step there is 32

    def test_constant_columns_are_centred_only(self, tmp_path: Path) -> None:
        x = np.random.default_rng(0).normal(size=(50, 1))
        np.save(tmp_path / "x.npy", np.hstack([x, np.full((50, 1), 0.1), np.full((50, 1), 1e20)]))
        dataset = load_dataset(str(tmp_path / "x.npy"))
        points = dataset.draw(40, seeded())
        assert (points[:, 1:] == 0).all()
        assert (dataset.inverse(points)[:, 1:] == torch.tensor([0.1, 1e20], dtype=torch.float64)).all()

    def test_repeated_rows_keep_their_weight(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.concatenate([np.zeros(100), np.arange(1, 101)]))
        dataset = load_dataset(tmp_path / "x.npy")
        share = (dataset.inverse(dataset.draw(5000, seeded())).abs() < 1e-3).double().mean()
        assert dataset.dim == 1 and abs(float(share) - 0.5) < 0.1

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((1, 2)), r"x\.npy: holds 1 point, 1 distinct; at least 10 distinct points are needed"),
            (np.zeros((50, 2)), r"x\.npy: holds 50 points, 1 distinct; at least 10"),
            (np.arange(9.0), r"x\.npy: holds 9 points, 9 distinct; at least 10"),
            (np.linspace(-1e300, 1e300, 20), r"x\.npy: column 1 is too large or too small to standardise"),
            (np.arange(40.0).reshape(20, 2) * [1, 1e-300], r"x\.npy: column 2 is too large or too small"),
            (np.zeros((0, 2)), r"x\.npy: holds no points"),
            (np.full((20, 2), np.nan), r"x\.npy: 20 of 20 rows hold NaN"),
        ],
    )
    def test_unusable_points(self, tmp_path: Path, array: np.ndarray, message: str) -> None:
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(tmp_path / "x.npy")
        assert "\n" not in str(caught.value)

    def test_ten_points_are_enough(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.arange(10.0))
        dataset = load_dataset(tmp_path / "x.npy")
        assert (dataset.max_train, dataset.max_test) == (8, 2)
