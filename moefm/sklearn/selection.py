"""How many experts: the number whose samples come nearest to rows held out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from moefm.couplings import Coupling
from moefm.diagnostics import w2
from moefm.fields import MixtureField, MLPMixtureField
from moefm.objectives import Objective
from moefm.sampling import sample
from moefm.training import FitResult, fit

CANDIDATES = (1, 2, 3, 4, 8, 16)
HELD_OUT, MOST_HELD_OUT, DRAWS, STEPS = 0.2, 500, 4, 4


@dataclass(frozen=True)
class Rows:
    """Encoded rows ``(N, D)`` with their conditions, vectors ``(N, C)`` or labels ``(N,)``, and weights ``(N,)``."""

    z: Tensor
    cond: Tensor | None
    weight: Tensor | None

    def at(self, index: Tensor) -> Rows:
        """Some of the rows."""
        return Rows(self.z[index], *(None if x is None else x[index] for x in (self.cond, self.weight)))


@dataclass(frozen=True)
class Recipe:
    """A field and its training, all but the number of experts: see :class:`moefm.sklearn.MoEFlow`."""

    objective: Objective
    coupling: str | Coupling
    hidden: int
    layers: int
    num_classes: int
    steps: int
    batch_size: int
    lr: float
    seed: int
    device: str
    verbose: bool

    def train(self, rows: Rows, experts: int, steps: int) -> tuple[MLPMixtureField, FitResult]:
        """A field of so many experts, trained on the rows."""
        width = 0 if rows.cond is None or self.num_classes else rows.cond.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            field = MLPMixtureField(
                rows.z.shape[1], experts, self.hidden, self.layers, cond_dim=width, num_classes=self.num_classes
            ).to(self.device)
        result = fit(
            field, rows.z, self.objective, steps=steps, batch_size=self.batch_size, lr=self.lr,
            warmup=min(100, steps // 5), coupling=self.coupling, cond=rows.cond, weight=rows.weight,
            generator=torch.Generator().manual_seed(self.seed), progress=self.verbose,
        )  # fmt: skip
        return field, result


def distance(field: MixtureField, rows: Rows, generator: Generator) -> float:
    """Mean W2 between rows and as many samples of few steps, each beside its condition."""
    device = next(field.parameters()).device
    beside = rows.z.new_zeros(len(rows.z), 0) if rows.cond is None else _vectors(rows.cond, rows.z)
    distances = []
    for _ in range(DRAWS):
        z0 = torch.randn(rows.z.shape, generator=generator).to(rows.z)
        cond = None if rows.cond is None else rows.cond.to(device)
        with torch.no_grad():
            z1 = sample(field, z0.to(device), STEPS, cond=cond, generator=generator).z1.cpu()
        distances.append(w2(torch.cat([z1, beside], 1), torch.cat([rows.z, beside], 1)))
    return sum(distances) / DRAWS


def _vectors(cond: Tensor, like: Tensor) -> Tensor:
    return cond.to(like) if cond.ndim > 1 else 3 * torch.nn.functional.one_hot(cond.long()).to(like)


def choose_experts(
    recipe: Recipe, rows: Rows, candidates: tuple[int, ...] = CANDIDATES
) -> tuple[int, dict[int, float]]:
    """The number of experts with the smallest distance to rows held out, and the distance of each.

    Rows are held out in proportion to their weight, so those of weight 0 are not.

    Args:
        recipe: Trains the candidates, a third of its steps each, all from the same seed.
        rows: All rows; a fifth of them, 500 at most, are held out.
        candidates: Numbers to choose from.
    """
    seed = recipe.seed
    generator = torch.Generator().manual_seed(seed)
    size = max(2, min(MOST_HELD_OUT, int(HELD_OUT * len(rows.z))))
    weight = torch.ones(len(rows.z)) if rows.weight is None else rows.weight
    size = min(size, max(1, int((weight > 0).sum()) // 2))
    held = torch.zeros(len(rows.z), dtype=torch.bool)
    held[torch.multinomial(weight, size, generator=generator)] = True
    steps = max(1, recipe.steps // 3)
    seen, unseen = rows.at(~held), rows.at(held)
    distances = {
        experts: distance(recipe.train(seen, experts, steps)[0], unseen, torch.Generator().manual_seed(seed + 1))
        for experts in candidates
    }
    return min(distances, key=lambda experts: distances[experts]), distances
