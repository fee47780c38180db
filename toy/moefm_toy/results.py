"""The folder of a run: every file appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import pad

from moefm_toy.datasets import Dataset
from moefm_toy.experiment import SeedRun

_KINDS = [".gif", ".png", ".svg", ".json", ".npz"]


def write_results(folder: Path, dataset: Dataset, result: dict[str, Any], run: SeedRun, gif: bool) -> list[str]:
    """Write numbers, figures and samples into ``folder``: all into a scratch folder first, then moved over.

    Returns:
        The names of the files, the figures first.
    """
    from moefm_toy import densities, figures, pairs, training_curves

    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
    try:
        (scratch / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        main = densities.density_figure(run, dataset) if dataset.dim == 1 else figures.samples_figure(run, dataset)
        drawn: dict[str, Figure | None] = {
            "figure.png": main,
            "figure.svg": main,
            "curves.png": figures.curves_figure(result),
            "losses.png": training_curves.losses_figure(run),
            "experts.png": figures.experts_figure(run, dataset),
            "images.png": digit_images(run, dataset),
        }
        if dataset.dim in pairs.DIMS:
            drawn |= {f"pairs-{name}.png": pairs.pairs_figure(run, dataset, name) for name in run.methods}
        for name, figure in drawn.items():
            if figure is not None:
                figure.savefig(scratch / name, dpi=110)
        samples: dict[str, Any] = {
            f"{method}_{steps}": dataset.inverse(sample.z1).numpy()
            for method, trained in run.methods.items()
            for steps, sample in trained.samples.items()
        }
        np.savez_compressed(scratch / "samples.npz", **samples)
        if gif:
            from moefm_toy.animation import animate

            animate(run, scratch / "transport.gif", dataset)
        names = sorted(
            (file.name for file in scratch.iterdir()), key=lambda name: (_KINDS.index(Path(name).suffix), name)
        )
        for name in names:
            os.replace(scratch / name, folder / name)
        return names
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def digit_images(run: SeedRun, dataset: Dataset, shown: int = 12) -> Figure | None:
    """For the digits data set: held-out images and each method's few-step samples as images; else ``None``."""
    if dataset.name != "digits" or dataset.inverse(run.data[:1]).shape[-1] != 64:  # a file may have any name
        return None
    rows = [("held-out images, same PCA", run.data)]
    for name, method in run.methods.items():
        few = sorted(method.samples)[:3]
        rows += [(f"{name}, {t} step{'s' if t > 1 else ''}", method.samples[t].z1) for t in few]
    # One picture of all images, each with an empty border: a panel for each would take many seconds to lay out.
    strips = [
        torch.cat([pad(pixels.reshape(8, 8).flip(0), (1, 1, 1, 1)) for pixels in dataset.inverse(points[:shown])], 1)
        for _, points in reversed(rows)
    ]
    figure = Figure(figsize=(0.6 * shown + 2.2, 0.6 * len(rows) + 0.3), layout="constrained")
    ax = figure.subplots()
    ax.imshow(torch.cat(strips).numpy(), cmap="gray_r", vmin=0, vmax=16, origin="lower")
    ax.set_yticks([10 * i + 4.5 for i in range(len(rows))], [label for label, _ in reversed(rows)])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure
