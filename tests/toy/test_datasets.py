"""Every data set keeps the same contract; every wrong argument or file gets one clear line."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_runs import MEMBERS, SHAPES, seeded

from moefm_toy.datasets import Dataset, list_datasets, load_dataset
from moefm_toy.named_points import DataError

MODES = {"moons": 2, "grid": 9, "checkerboard": 8, "spirals": 2, "pinwheel": 5, "rings": 3}


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
        if dataset.name in [*SHAPES, "codes", "digits", "iris"]:
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


class TestFiles:
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
