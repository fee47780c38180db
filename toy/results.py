"""The folder of a run: every file appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from toy.datasets import Dataset
from toy.experiment import SeedRun


def prepare_folder(folder: Path) -> None:
    """Make the folder and prove that it can be written to, before any training.

    Raises:
        ValueError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"--out must be a folder that can be written to, got {str(folder)!r}: {error.strerror or error}"
        ) from None


def write_results(folder: Path, name: str, dataset: Dataset, result: dict[str, Any], run: SeedRun, gif: bool) -> None:
    """Write numbers, figures and samples into ``folder``: all into a scratch folder first, then moved over."""
    from toy import figures

    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
    try:
        (scratch / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        main = figures.samples_figure(run, name)
        main.savefig(scratch / "figure.png", dpi=110)
        main.savefig(scratch / "figure.svg", dpi=110)
        figures.curves_figure(result).savefig(scratch / "curves.png", dpi=110)
        figures.experts_figure(run).savefig(scratch / "experts.png", dpi=110)
        image = digit_images(run, dataset)
        if image is not None:
            image.savefig(scratch / "images.png", dpi=110)
        samples = {
            f"{method}_{steps}": dataset.inverse(drawn.z1).numpy()
            for method, one in run.methods.items()
            for steps, drawn in one.samples.items()
        }
        np.savez_compressed(scratch / "samples.npz", **samples)
        if gif:
            from toy.animation import animate

            animate(run, scratch / "transport.gif", name)
        for file in sorted(scratch.iterdir()):
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def digit_images(run: SeedRun, dataset: Dataset, shown: int = 12) -> Figure | None:
    """For the digits data set: held-out images and each method's samples as images, by step count; else ``None``."""
    if dataset.name != "digits":
        return None
    rows = [("held-out images\nin the same PCA space", run.data)]
    for name, method in run.methods.items():
        rows += [(f"{name}, {t} step{'s' if t > 1 else ''}", drawn.z1) for t, drawn in method.samples.items()]
    figure = Figure(figsize=(0.75 * shown + 2.2, 0.8 * len(rows)), layout="constrained")
    for axes, (label, points) in zip(figure.subplots(len(rows), shown, squeeze=False), rows, strict=True):
        axes[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        for ax, pixels in zip(axes, dataset.inverse(points[:shown]), strict=False):
            ax.imshow(pixels.reshape(8, 8).numpy(), cmap="gray_r", vmin=0, vmax=16)
        for ax in axes:
            ax.set(xticks=[], yticks=[])
    return figure
