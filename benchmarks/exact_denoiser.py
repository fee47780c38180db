"""How far would the flow get with a perfect network? Squares and lists whose right answers can all be listed.

    python benchmarks/exact_denoiser.py latin
    python benchmarks/exact_denoiser.py sudoku
    python benchmarks/exact_denoiser.py shuffle

With N right answers x the exact denoiser is a sum over them: p(x | z_t) is proportional to
exp(t / (1 - t)^2 sum_l e_{x_l} . z_{t, l}) over those that agree with the words that are there. As in the tasks, a
quarter of a square is given, and nothing of a list. Prints the share of complete answers that are right and, in
brackets, how many different ones are among them, by the number of passes T and by ``perturb``, how much the first pass
believes its noise (yanlm.nn.noise.reading).
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from moefm import InformationTime
from yanlm.data.builtin.squares import Rules
from yanlm.generation.denoising_turns import PACE
from yanlm.generation.unmasking import filled_after
from yanlm.nn.denoiser import LAST
from yanlm.nn.noise import first_time

WIDTH = 64
"""Numbers e in a token's vector."""
GIVEN = {"latin": 4, "sudoku": 4, "shuffle": 0}
"""Words that are given."""
PERTURB = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


def answers(task: str) -> Tensor:
    """All right answers ``(N, M)``, numbers from 0."""
    if task == "shuffle":
        return torch.tensor(list(itertools.permutations(range(5))))
    found = Rules(4, boxes=task == "sudoku").solutions((0,) * 16)
    return torch.tensor(list(found)) - 1


class Exact:
    """The exact denoiser of equally probable answers ``(N, M)``; states are coordinates ``(n, M, V)`` of e_v."""

    def __init__(self, right: Tensor, given: int) -> None:
        self.right, self.one, self.given = right, torch.nn.functional.one_hot(right).float(), given
        t, (truth, written) = torch.linspace(0, 0.6, 61), self.rows(2000)
        losses = []
        for time in t.tolist():
            noise = torch.randn_like(self.one[truth])
            z = time * math.sqrt(WIDTH) * self.one[truth] + (1 - time) * noise  # along e_v / sqrt(e)
            own = self(z, time, written).gather(-1, right[truth].unsqueeze(-1)).squeeze(-1)
            losses.append(-own[written < 0].clamp_min(1e-30).log().mean())
        self.time = InformationTime().fit_from(t, torch.stack(losses))

    def rows(self, count: int) -> tuple[Tensor, Tensor]:
        """Numbers of drawn answers ``(count,)``, and the words that are given ``(count, M)``, -1 elsewhere."""
        truth = torch.randint(len(self.right), (count,))
        place = torch.rand(count, self.right.shape[1]).argsort(1).argsort(1)
        return truth, torch.where(place < self.given, self.right[truth], -1)

    def __call__(self, z: Tensor, t: float, written: Tensor) -> Tensor:
        """p(v | z_t) of every slot ``(n, M, V)``, given words ``(n, M)``, -1 where there is none yet."""
        empty = (written < 0).unsqueeze(-1)
        hint = torch.einsum("nlv,alv->na", t / max(1 - t, 1e-3) ** 2 * math.sqrt(WIDTH) * z * empty, self.one)
        fits = ((self.right == written.unsqueeze(1)) | empty.squeeze(-1).unsqueeze(1)).all(-1)
        return torch.einsum("na,alv->nlv", hint.masked_fill(~fits, -1e30).softmax(-1), self.one)


def write(denoiser: Exact, steps: int, perturb: float, count: int, reread: bool) -> Tensor:
    """Answers ``(count, M)`` that the sampler writes in ``steps`` passes; see yanlm.generation.denoising."""
    z, (_, written) = torch.randn(count, *denoiser.one.shape[1:]), denoiser.rows(count)
    slots = (written < 0).sum(1)
    first = first_time(perturb, WIDTH)
    times = denoiser.time.grid(steps, last=LAST).tolist()
    for i, (t, after) in enumerate(itertools.pairwise(times), 1):
        p = denoiser(z, t, written) if t else denoiser((1 - first) * z, first, written)
        z = z + (after - t) / (1 - t) * (math.sqrt(WIDTH) * p - z)
        sure, words = p.max(-1)
        wanted = filled_after(i, slots, torch.full_like(slots, steps), PACE) if reread or i == steps else 0 * slots
        rank = sure.masked_fill(written >= 0, 2.0).argsort(dim=1, descending=True, stable=True).argsort(1)
        wanted = wanted + denoiser.given
        written = torch.where((rank < wanted.unsqueeze(1)) & (written < 0), words, written)
    return written


def right(denoiser: Exact, texts: Tensor) -> tuple[float, int]:
    """Share of texts ``(n, M)`` that are right, and how many different ones are."""
    good = (texts.unsqueeze(1) == denoiser.right).all(-1).any(1)
    return float(good.float().mean()), len(texts[good].unique(dim=0))


def main(task: str, steps: Sequence[int], count: int) -> None:
    """Print the table."""
    torch.manual_seed(0)
    denoiser = Exact(answers(task), GIVEN[task])
    print(f"{len(denoiser.right)} right answers, {count} texts\n")
    print("| perturb | " + " | ".join(f"T = {n}{way}" for way in ("", ", reread") for n in steps) + " |")
    print("|---|" + "---|" * 2 * len(steps))
    for perturb in PERTURB:
        cells = [right(denoiser, write(denoiser, n, perturb, count, way)) for way in (False, True) for n in steps]
        print(f"| {perturb:g} | " + " | ".join(f"{share:.3f} ({many})" for share, many in cells) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("latin", "sudoku", "shuffle"))
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--count", type=int, default=2000)
    asked = parser.parse_args()
    main(asked.task, asked.steps, asked.count)
