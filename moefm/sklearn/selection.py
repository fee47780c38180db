"""How many experts: the number whose samples come nearest to held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from moefm.checks import check_choice
from moefm.couplings import COUPLINGS, Coupling
from moefm.fields import MixtureField, MLPMixtureField
from moefm.objectives import Objective
from moefm.sampling import sample
from moefm.semidiscrete import SemiDiscrete
from moefm.slices import sliced_w2
from moefm.training import FitResult, fit

CANDIDATES = (1, 2, 3, 4, 8, 16)
HELD_OUT, MOST_HELD_OUT, SAMPLES, STEPS = 0.2, 500, 2000, (1, 2, 4)
MOST_ROWS = 5000
"""Up to this many rows transport goes to the whole table, beyond that only within batches."""


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

    def couple(self, rows: Rows) -> str | Coupling:
        """The coupling that :func:`moefm.fit` takes."""
        if self.coupling != "semidiscrete":
            return self.coupling
        return SemiDiscrete(rows.z, rows.weight, generator=torch.Generator().manual_seed(self.seed))

    def train(
        self, rows: Rows, experts: int, steps: int, coupling: str | Coupling
    ) -> tuple[MLPMixtureField, FitResult]:
        """Train a field with this many experts on the rows."""
        width = 0 if rows.cond is None or self.num_classes else rows.cond.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            field = MLPMixtureField(
                rows.z.shape[1], experts, self.hidden, self.layers, cond_dim=width, num_classes=self.num_classes
            ).to(self.device)
        result = fit(
            field, rows.z, self.objective, steps=steps, batch_size=self.batch_size, lr=self.lr,
            warmup=min(100, steps // 5), coupling=coupling, cond=rows.cond, weight=rows.weight,
            generator=torch.Generator().manual_seed(self.seed), progress=self.verbose,
        )  # fmt: skip
        return field, result


def coupling_for(coupling: str | Coupling | None, rows: Rows, classes: int) -> str | Coupling:
    """The coupling that was asked for; for ``None`` the best that the rows and their conditions allow.

    Raises:
        ValueError: The name is unknown, or is ``semidiscrete`` beside conditions.
    """
    if isinstance(coupling, str):
        check_choice("coupling", coupling, (*COUPLINGS, "semidiscrete"))
        if coupling == "semidiscrete" and rows.cond is not None:
            raise ValueError("coupling must not be 'semidiscrete' beside cond: use 'ot' for labels, or 'independent'")
    if coupling is not None:
        return coupling
    if rows.cond is not None:
        return "ot" if classes else "independent"
    return "semidiscrete" if len(rows.z) <= MOST_ROWS else "ot"


def distance(field: MixtureField, rows: Rows, generator: Generator) -> float:
    """Mean sliced W2 between rows and samples in one, two and four steps, each row together with its condition.

    There are more samples than rows, so the draw of the noise hardly matters.
    """
    device = next(field.parameters()).device
    repeated = torch.arange(len(rows.z)).repeat(max(1, SAMPLES // len(rows.z)))
    given = rows.z.new_zeros(len(rows.z), 0) if rows.cond is None else _vectors(rows.cond, rows.z)
    cond = None if rows.cond is None else rows.cond[repeated].to(device)
    distances = []
    for steps in STEPS:
        z0 = torch.randn(len(repeated), rows.z.shape[1], generator=generator)
        with torch.no_grad():
            z1 = sample(field, z0.to(device), steps, cond=cond, generator=generator).z1.cpu()
        drawn, held = torch.cat([z1, given[repeated]], 1), torch.cat([rows.z, given], 1)
        distances.append(sliced_w2(drawn, held, generator=generator))
    return sum(distances) / len(STEPS)


def _vectors(cond: Tensor, like: Tensor) -> Tensor:
    return cond.to(like) if cond.ndim > 1 else 3 * torch.nn.functional.one_hot(cond.long()).to(like)


def choose_experts(
    recipe: Recipe, rows: Rows, candidates: tuple[int, ...] = CANDIDATES
) -> tuple[int, dict[int, float]]:
    """The number of experts with the smallest distance to rows held out, and the distance of each.

    Rows are held out in proportion to their weight, so those of weight 0 are not.

    Args:
        recipe: Trains the candidates as long as the final field, because many experts take longer to learn wide tables.
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
    seen, unseen = rows.at(~held), rows.at(held)
    coupling = recipe.couple(seen)
    distances = {
        experts: distance(
            recipe.train(seen, experts, recipe.steps, coupling)[0], unseen, torch.Generator().manual_seed(seed + 1)
        )
        for experts in candidates
    }
    return min(distances, key=lambda experts: distances[experts]), distances
