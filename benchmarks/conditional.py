"""Digits by class: what the coupling of noise and data does to conditional samples.

    python benchmarks/conditional.py --figure docs/images/conditional.png

Pairs are independent, by optimal transport over the whole batch (which does not look at the class), or by optimal
transport within each class. Prints the table of docs/guides/conditional.md, medians and ranges over seeds: the share of
samples that a classifier of real digits reads as the class asked for, and W2 to held-out digits of that class.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from torch import Tensor

from moefm import VFM, ConsistentMoEFM, MLPMixtureField, fit, minibatch_ot, sample
from moefm.couplings import Coupling
from moefm.diagnostics import w2

DIM = 16
STEPS = (1, 2, 4, 8, 100)
SHOWN_EXPERTS, SHOWN_STEPS, SHOWN = 1, 4, 7
# By its name `ot` pairs within the labels that `fit` is given; as a function it is given noise and data alone.
COUPLINGS: dict[str, str | Coupling] = {"independent": "independent", "OT": minibatch_ot, "OT within classes": "ot"}
EXPERTS = (1, 8)


@dataclass(frozen=True)
class Digits:
    """Latents of training and held-out digits with their classes, what reads them, and the way back to pixels."""

    train: Tensor
    train_class: Tensor
    test: Tensor
    test_class: Tensor
    reader: SVC
    pca: PCA
    scale: float

    def pixels(self, latents: Tensor) -> np.ndarray:
        images: np.ndarray = self.pca.inverse_transform(latents.numpy() * self.scale)
        return images.reshape(-1, 8, 8)

    def right(self, latents: Tensor, wanted: Tensor) -> float:
        """Share of latents that the classifier reads as the digit wanted."""
        return float((self.reader.predict(latents.numpy()) == wanted.numpy()).mean())

    def within(self, latents: Tensor, wanted: Tensor) -> float:
        """W2 to the held-out digits of the same class, as many of them, mean over classes."""
        classes = range(10)
        return sum(w2(latents[wanted == c], self.test[self.test_class == c]) for c in classes) / len(classes)


def load() -> Digits:
    """Digits by their first principal components: 60% to train on, 40% held out, so that each class has about 72."""
    images, labels = load_digits(return_X_y=True)
    train, test, train_class, test_class = train_test_split(
        images, labels, test_size=0.4, random_state=0, stratify=labels
    )
    pca = PCA(DIM, svd_solver="full").fit(train)
    scale = float(pca.transform(train).std(axis=0).mean())
    latents = [torch.as_tensor(pca.transform(part) / scale, dtype=torch.float32) for part in (train, test)]
    reader = SVC(C=10.0).fit(latents[0].numpy(), train_class)
    return Digits(latents[0], torch.as_tensor(train_class), latents[1], torch.as_tensor(test_class), reader, pca, scale)


def train(digits: Digits, experts: int, coupling: str | Coupling, seed: int, train_steps: int) -> MLPMixtureField:
    """A field of the class, by vanilla flow matching or the consistent mixture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        field = MLPMixtureField(DIM, experts, num_classes=10)
    objective = VFM() if experts == 1 else ConsistentMoEFM(sigma=0.5)
    fit(
        field,
        digits.train,
        objective,
        cond=digits.train_class,
        coupling=coupling,
        steps=train_steps,
        batch_size=128,
        generator=torch.Generator().manual_seed(seed),
    )
    return field


def draw(field: MLPMixtureField, wanted: Tensor, steps: int, seed: int) -> Tensor:
    """Latents of the classes wanted, from the same noise at every number of steps."""
    noise = torch.randn(len(wanted), DIM, generator=torch.Generator().manual_seed(1000 + seed))
    generator = torch.Generator().manual_seed(2000 + seed)
    with torch.no_grad():
        return sample(field, noise, steps, cond=wanted, generator=generator).z1


def sheet(digits: Digits, samples: dict[str, Tensor]) -> Figure:
    """A block of images for each coupling beside real ones: a row for each class, misread ones in a frame."""
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    wanted = torch.arange(10).repeat_interleave(SHOWN)
    real = torch.cat([digits.test[digits.test_class == c][:SHOWN] for c in range(10)])
    blocks = {"real, held out": real, **samples}
    for ax, (name, latents) in zip(figure.subplots(1, len(blocks)), blocks.items(), strict=True):
        tiles = np.pad(digits.pixels(latents), ((0, 0), (1, 1), (1, 1)))
        rows = tiles.reshape(10, SHOWN, 10, 10).transpose(0, 2, 1, 3).reshape(100, 10 * SHOWN)
        ax.imshow(rows, cmap="gray_r", vmin=0, vmax=16, interpolation="none")
        misread = np.flatnonzero(digits.reader.predict(latents.numpy()) != wanted.numpy())
        for row, column in zip(*np.divmod(misread, SHOWN), strict=True):
            corner = (10 * column - 0.2, 10 * row - 0.2)
            ax.add_patch(Rectangle(corner, 9.4, 9.4, fill=False, color="#d95f02", linewidth=1.5))
        ax.set_title(name, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([10 * c + 4.5 for c in range(10)], [str(c) for c in range(10)])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    return figure


def show(values: Sequence[float], percent: bool) -> str:
    """Median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    if percent:
        return f"{100 * middle:.1f} ({100 * low:.1f}-{100 * high:.1f})"
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def main() -> None:
    """Train, measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-steps", type=int, default=2000)
    parser.add_argument(
        "--figure", type=Path, help="where to draw samples of one field for each class, four steps, first seed"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits, shown = load(), {}
    wanted = digits.test_class  # as many of each class as are held out
    floor = torch.cat([digits.train[digits.train_class == c][: int((wanted == c).sum())] for c in range(10)])
    floor_class = torch.cat([torch.full((int((wanted == c).sum()),), c) for c in range(10)])
    print(
        f"Real digits: {digits.right(digits.test, wanted):.1%} of the held-out ones are read as what they are; ", end=""
    )
    print(f"W2 of training to held-out digits of the same class {digits.within(floor, floor_class):.3f}.\n")
    rows: dict[tuple[int, str, str], list[list[float]]] = {}
    for experts in EXPERTS:
        for name, coupling in COUPLINGS.items():
            for seed in range(options.seeds):
                field = train(digits, experts, coupling, seed, options.train_steps)
                drawn = [draw(field, wanted, steps, seed) for steps in STEPS]
                rows.setdefault((experts, name, "right"), []).append([digits.right(z, wanted) for z in drawn])
                rows.setdefault((experts, name, "w2"), []).append([digits.within(z, wanted) for z in drawn])
                if experts == SHOWN_EXPERTS and seed == 0:
                    shown[name] = draw(field, torch.arange(10).repeat_interleave(SHOWN), SHOWN_STEPS, seed)
    for metric, title in (("right", "read as the class asked for, %"), ("w2", "W2 within the class")):
        print(f"| {title} | coupling |", " | ".join(f"{steps} step{'s' * (steps > 1)}" for steps in STEPS), "|")
        print("|---|---|" + "---:|" * len(STEPS))
        for experts in EXPERTS:
            for name in COUPLINGS:
                columns = zip(*rows[experts, name, metric], strict=True)
                cells = " | ".join(show(column, metric == "right") for column in columns)
                print(f"| K = {experts} | {name} | {cells} |")
        print()
    if options.figure is not None:
        sheet(digits, shown).savefig(options.figure, dpi=110)


if __name__ == "__main__":
    main()
