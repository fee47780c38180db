"""Every data set keeps the same contract; every wrong argument or file gets one clear line."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from moefm_toy.datasets import Dataset, list_datasets, load_dataset
from moefm_toy.readers import DataError

SHAPES = ["moons", "grid", "checkerboard", "spirals", "pinwheel", "rings"]
MODES = {"moons": 2, "grid": 9, "checkerboard": 8, "spirals": 2, "pinwheel": 5, "rings": 3}
MEMBERS = [*SHAPES, "digits", "iris", "file"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    path = tmp_path_factory.mktemp("data") / "my.points.npy"
    np.save(path, np.random.default_rng(0).normal([5e8, -3.0, 0.0], [2.0, 1e-3, 40.0], (200, 3)))
    return {name: load_dataset(path if name == "file" else name) for name in MEMBERS}


@pytest.fixture(params=MEMBERS)
def dataset(request: pytest.FixtureRequest, members: dict[str, Dataset]) -> Dataset:
    return members[request.param]


class TestContract:
    @pytest.mark.parametrize("n", [1, 7, 500])
    def test_shape_dtype_finite(self, dataset: Dataset, n: int) -> None:
        held_out = min(n, dataset.max_test or n)
        for points, count in [
            (dataset.draw(n, seeded()), n),
            (dataset.draw_test(held_out, seeded()), held_out),
        ]:
            assert points.shape == (count, dataset.dim)
            assert points.dtype == torch.float32 and points.device.type == "cpu"
            assert points.isfinite().all()

    def test_the_generator_decides_alone(self, dataset: Dataset) -> None:
        for draw in (dataset.draw, dataset.draw_test):
            assert torch.equal(draw(20, seeded(3)), draw(20, seeded(3)))
            assert not torch.equal(draw(20, seeded(3)), draw(20, seeded(4)))
            generator = seeded(3)  # it moves on: the next batch is another one
            assert not torch.equal(draw(20, generator), draw(20, generator))

    def test_global_random_states_stay_untouched(self, dataset: Dataset) -> None:
        before = torch.get_rng_state(), np.random.get_state(), random.getstate()
        if dataset.name in [*SHAPES, "digits", "iris"]:
            dataset = load_dataset(dataset.name)
        dataset.draw(50, seeded())
        dataset.draw_test(20, seeded())
        assert torch.equal(before[0], torch.get_rng_state())
        assert all(np.array_equal(a, b) for a, b in zip(before[1], np.random.get_state(), strict=True))
        assert before[2] == random.getstate()

    def test_float32_whatever_the_default_dtype(self, dataset: Dataset) -> None:
        expected = dataset.draw(20, seeded())
        torch.set_default_dtype(torch.float64)
        try:
            points = dataset.draw(20, seeded())
        finally:
            torch.set_default_dtype(torch.float32)
        assert points.dtype == torch.float32
        assert torch.equal(points, expected)

    def test_unit_scale_and_centred(self, dataset: Dataset) -> None:
        points = dataset.draw(20_000, seeded())
        low, high = (0.4, 2.0) if dataset.name == "digits" else (0.7, 2.0)  # PCA keeps its ratios
        assert ((points.std(dim=0) > low) & (points.std(dim=0) < high)).all()
        assert points.mean(dim=0).abs().max() < 0.06

    def test_points_do_not_repeat_more_than_chance(self, dataset: Dataset) -> None:
        expected = 1000.0  # or, drawing with replacement, size * (1 - (1 - 1 / size) ** 1000)
        if dataset.max_train is not None:
            expected = dataset.max_train * (1 - (1 - 1 / dataset.max_train) ** 1000)
        assert len(dataset.draw(1000, seeded()).unique(dim=0)) > 0.9 * expected

    def test_inverse_gives_float64_of_any_batch(self, dataset: Dataset) -> None:
        points = dataset.draw(6, seeded())
        original = dataset.inverse(points)
        assert original.dtype == torch.float64
        torch.testing.assert_close(dataset.inverse(points.view(2, 3, -1)), original.view(2, 3, -1))

    def test_inverse_is_affine_and_loses_nothing(self, dataset: Dataset) -> None:
        """So x = inverse^-1(inverse(x)), solved here by least squares from the inverse of a basis."""
        points = dataset.draw(50, seeded())
        zero, basis = torch.zeros(dataset.dim), torch.eye(dataset.dim)
        matrix = dataset.inverse(basis) - dataset.inverse(zero)
        back = (dataset.inverse(points) - dataset.inverse(zero)) @ torch.linalg.pinv(matrix)
        torch.testing.assert_close(back.float(), points, rtol=1e-4, atol=1e-4)

    def test_wrong_arguments(self, dataset: Dataset) -> None:
        for draw in (dataset.draw, dataset.draw_test):
            for n in (0, -1, 2.0, True):
                with pytest.raises(ValueError, match="n must be an integer of at least 1, got"):
                    draw(n, seeded())  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, got 0"):
                draw(1, 0)  # type: ignore[arg-type]

    def test_facts_are_sensible(self, dataset: Dataset) -> None:
        assert dataset.experts >= MODES.get(dataset.name, 3)
        assert dataset.description and "\n" not in dataset.description
        assert "function" not in repr(dataset)


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

    def test_a_name_wins_over_a_file_of_that_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("moons").write_text("1,2\n")
        assert load_dataset("moons").name == "moons"
        with pytest.raises(DataError, match="moons: has no extension"):
            load_dataset(Path("moons"))


class TestNames:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("mons", "dataset 'mons' is unknown, did you mean 'moons'?"),
            ("Spiral", "dataset 'Spiral' is unknown, did you mean 'spirals'?"),
            ("xyzzy", "dataset 'xyzzy' is unknown. Known are moons, grid"),
            ("", "dataset '' is unknown. Known are"),
            ("missing.csv", "missing.csv: does not exist"),
            ("no/such/points.npy", "does not exist"),
            ("a" * 5000, "is unknown."),
        ],
    )
    def test_unknown_names(self, name: str, message: str) -> None:
        with pytest.raises(ValueError) as caught:
            load_dataset(name)
        assert message in str(caught.value) and "\n" not in str(caught.value)

    def test_an_unknown_name_learns_of_everything_accepted(self) -> None:
        with pytest.raises(ValueError) as caught:
            load_dataset("xyzzy")
        for accepted in [*(info.name for info in list_datasets()), ".npy", ".npz", ".csv", ".parquet"]:
            assert accepted in str(caught.value)

    @pytest.mark.parametrize("dim", [1, 17, 2.0, True, "8"])
    def test_digits_dim_out_of_range(self, dim: object) -> None:
        with pytest.raises(ValueError, match="dim must be an integer from 2 to 16, got"):
            load_dataset("digits", dim=dim)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ["moons", "iris", "x.npy", "xyzzy"])
    def test_dim_is_for_digits_only(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"dim is accepted for digits only, got 3 for '{name}'"):
            load_dataset(name, dim=3)

    def test_wrong_types(self) -> None:
        with pytest.raises(TypeError, match="dataset must be a name or a path, got 3"):
            load_dataset(3)  # type: ignore[arg-type]
        for seed in (-1, 1.5):
            with pytest.raises(ValueError, match="seed must be an integer of at least 0"):
                load_dataset("iris", seed=seed)  # type: ignore[arg-type]


def test_the_list_tells_what_loading_gives(members: dict[str, Dataset]) -> None:
    for info in list_datasets():
        dataset = members[info.name]
        points = None if dataset.max_train is None else dataset.max_train + (dataset.max_test or 0)
        assert (info.dim, info.experts, info.points) == (dataset.dim, dataset.experts, points)


def test_the_list_and_the_shapes_load_no_heavy_module() -> None:
    code = (
        "import sys, torch; from moefm_toy.datasets import list_datasets, load_dataset; list_datasets();"
        "[load_dataset(n).draw(9, torch.Generator()) for n in ('moons', 'grid', 'rings')];"
        "print([m for m in ('sklearn', 'pyarrow', 'matplotlib', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
