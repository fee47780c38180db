"""The folder of a run: its files appear whole or not at all."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import TINY

from moefm_toy import figures
from moefm_toy.datasets import load_dataset
from moefm_toy.experiment import run_seed
from moefm_toy.report import document
from moefm_toy.results import digit_images, write_results


def test_files_are_there_in_the_units_of_the_data_or_none_is(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, result = load_dataset("moons"), document("moons", TINY, runs)
    (tmp_path / "broken").mkdir()
    monkeypatch.setattr(figures, "experts_figure", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_results(tmp_path / "broken", dataset, result, runs[0], gif=False)
    assert not list((tmp_path / "broken").iterdir())
    monkeypatch.undo()
    (tmp_path / "whole").mkdir()
    names = write_results(tmp_path / "whole", dataset, result, runs[0], gif=False)
    figure_files = ["curves.png", "experts.png", "figure.png", "losses.png", "figure.svg"]
    assert names == [*figure_files, "metrics.json", "samples.npz"]
    assert {path.name for path in (tmp_path / "whole").iterdir()} == set(names)
    samples = np.load(tmp_path / "whole" / "samples.npz")
    assert np.array_equal(samples["moefm_4"], dataset.inverse(runs[0].methods["moefm"].samples[4].z1).numpy())


def test_only_digits_are_shown_as_images(runs: Any) -> None:
    assert digit_images(runs[0], load_dataset("moons")) is None
    digits = load_dataset("digits", dim=2)
    assert digit_images(runs[0], dataclasses.replace(load_dataset("moons"), name="digits")) is None  # a file's name
    figure = digit_images(run_seed(digits, TINY, 0), digits, shown=3)
    assert figure is not None
    [image] = figure.axes[0].images
    assert image.get_array().shape == (10 * (1 + 3 * 2), 10 * 3)  # held-out rows, three methods at two step counts
