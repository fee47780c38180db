"""Two known ways to make words agree that are written at once, on the statements of `yanlm study agreement`.

    python benchmarks/agreement_tricks.py self-conditioning --first 8 --second 12
    python benchmarks/agreement_tricks.py guidance --first 8 --second 12

*self-conditioning* (Chen et al., 2023, "Analog Bits"): the trunk also reads its own last estimate of z1, with a weight
that begins at zero. *guidance* (Ho and Salimans, 2022, classifier-free): a tenth of the statements have no world in
training; velocities are v_none + w (v - v_none). The flow is the study's "one expert a word", or "K = 1" with --one.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from moefm import MixtureField, sample
from yanlm.config import YanConfig
from yanlm.data.builtin import statements
from yanlm.data.builtin.statements import judge, statement_rows
from yanlm.evaluation.report import cases
from yanlm.modeling import yan as modeling
from yanlm.modeling.build import make_builder
from yanlm.modeling.io import load_model, model_folder
from yanlm.nn.condition import Condition
from yanlm.nn.flow import Features, LatentFlow
from yanlm.seeding import EXPERT, NOISE, row_normal, row_seed, sample_streams
from yanlm.studies import agreement
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer

WORLDS, SAMPLES = 300, 8
STEPS = (1, 2, 3, 4, 8)
WEIGHTS = (1.0, 1.5, 2.0, 4.0)
BARE = ". <mask> is in the <mask> ."
"""A statement about no world."""


class SelfConditioned(LatentFlow):
    """Reads where it is heading: z0 + (z_t - z0) / t, which the steps so far amount to, is its last estimate of z1.

    The first evaluation, at t = 0, leaves z0 behind. In training only the point that follows on it is on the way of a
    sampler: on the true path the estimate would be the answer.
    """

    def __init__(self, config: YanConfig) -> None:
        super().__init__(config)
        self.own = nn.Linear(config.d_model, config.d_model)
        nn.init.zeros_(self.own.weight)
        self.began: Tensor | None = None
        self.heading: Tensor | None = None

    def trunk(self, z: Tensor, t: Tensor | float, cond: Condition | None = None) -> Features:
        """Remember z0, or find the estimate; then as ever."""
        t = torch.as_tensor(t, device=z.device, dtype=torch.float32)
        self.heading = None
        if t.ndim == 0 and float(t) == 0:
            self.began = z
        elif self.began is not None:
            at = t.reshape(-1, 1, 1)
            moved = (z - self.began) / at.clamp_min(1e-3)
            self.heading = torch.where(at > 0, self.began + moved, 0.0).detach()
            self.began = None if self.training else self.began
        return super().trunk(z, t, cond)

    def _begin(self, z: Tensor, cond: Condition) -> Tensor:
        x = super()._begin(z, cond)
        return x if self.heading is None else x + self.own(self.heading)


class Both(NamedTuple):
    """The trunk's features with the world and without."""

    given: Features
    bare: Features


class Guided(MixtureField):
    """A flow whose velocities are carried on, from what it would do without the source, by a factor w."""

    def __init__(self, flow: LatentFlow, weight: float) -> None:
        super().__init__()
        self.flow, self.weight, self.num_experts = flow, weight, flow.num_experts

    def trunk(self, z: Tensor, t: Tensor | float, cond: Any = None) -> Both:
        """One evaluation under either condition."""
        return Both(*(self.flow.trunk(z, t, one) for one in cond))

    def heads(self, features: Both) -> Tensor:
        """Velocities of all experts."""
        return self._mixed(*(self.flow.heads(one) for one in features))

    def head(self, features: Both, index: Tensor) -> Tensor:
        """Velocity of one expert."""
        return self._mixed(*(self.flow.head(one, index) for one in features))

    def gate_logits(self, features: Both) -> Tensor:
        """Of the flow that sees the source."""
        return self.flow.gate_logits(features.given)

    def _mixed(self, given: Tensor, bare: Tensor) -> Tensor:
        return bare + self.weight * (given - bare)


def guided_texts(model: Any, tokenizer: Any, steps: int, weight: float) -> list[list[str]]:
    """Statements about the study's test worlds, several about each."""
    builder = make_builder(model, tokenizer, Masking())
    rows = statement_rows("test", WORLDS)
    made, bare = cases(builder, rows), cases(builder, [{**row, "source": BARE} for row in rows])
    texts: list[list[str]] = []
    for start in range(0, WORLDS, 50):
        parts = [[case.example for case in some[start : start + 50]] for some in (made, bare)]
        conds = tuple(_condition(model, builder.collate(part)) for part in parts)
        seeds = [row_seed(1, 0, start + i) for i in range(len(parts[0]))]
        counts = conds[0].mask.sum(1).tolist()
        z0 = row_normal(sample_streams(seeds, SAMPLES, NOISE), counts, conds[0].mask.shape[1], model.config.d_model)
        out = sample(
            Guided(model.flow, weight),
            z0,
            steps,
            cond=conds,
            scope=conds[0].scope,
            mask=conds[0].mask,
            generator=sample_streams(seeds, SAMPLES, EXPERT),
        )
        tokens = model.decoder.tokens(out.z1).unflatten(0, (-1, SAMPLES)).tolist()
        texts += [
            [agreement._filled(example, row, tokenizer) for row in rows]
            for example, rows in zip(parts[0], tokens, strict=True)
        ]
    return texts


def _condition(model: Any, batch: dict[str, Tensor]) -> Any:
    ids, mask, slots = batch["source_ids"], batch["source_mask"], batch["slots"]
    cond = model.condition(model.encode(ids, mask), ids, mask, slots, batch["slot_mask"])
    return cond.repeated(SAMPLES)


def partly_bare(split: str = "train", n: int = 20000, seed: int = 0, shown: bool = False) -> list[dict[str, Any]]:
    """As :func:`yanlm.data.builtin.statements.statement_rows`, a tenth of those that are trained on about no world."""
    rows = statement_rows(split, n, seed, shown)
    if split != "train" or shown:
        return rows
    return [{**row, "source": BARE} if number % 10 == 0 else row for number, row in enumerate(rows)]


def line(name: str, found: dict[str, float]) -> str:
    """A row of the table."""
    return f"| {name} | " + " | ".join(f"{found[score]:.3f}" for score in ("valid", "people", "entropy")) + " |"


@torch.no_grad()
def judged(trick: str, folder: Path) -> Sequence[str]:
    """What the trained flow's statements are worth."""
    if trick == "guidance":
        stage = model_folder(folder)
        model, tokenizer = load_model(stage), load_tokenizer(stage)
        return [
            line(f"w = {weight:g}, T = {steps}", judge(guided_texts(model, tokenizer, steps, weight)))
            for steps in (1, 3)
            for weight in WEIGHTS
        ]
    found = agreement._judged(folder, STEPS, WORLDS, SAMPLES)
    return [line(f"T = {count}", found[str(count)]) for count in STEPS]


def main() -> None:
    """Train the flow, and print what its statements are worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trick", choices=("self-conditioning", "guidance"))
    parser.add_argument("--first", type=float, default=8.0, help="minutes of stage 1")
    parser.add_argument("--second", type=float, default=12.0, help="minutes of stage 2")
    parser.add_argument("--steps", type=int, help="optimizer steps of each stage instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", action="store_true", help="one expert, K = 1")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    out = args.out or Path("runs") / f"agreement-{args.trick}"
    shutil.rmtree(out, ignore_errors=True)
    if args.trick == "guidance":
        statements.statement_rows = partly_bare
    else:
        modeling.LatentFlow = SelfConditioned  # type: ignore[misc]
    trainer = agreement._Trainer(out, {}, args.first, args.second, args.steps)
    folder = trainer.flow("K = 1" if args.one else "one expert a word", args.seed)
    print(f"{args.trick}, {'K = 1' if args.one else 'one expert a word'}, seed {args.seed}\n")
    print("| | true | people | entropy |\n|---|---|---|---|")
    print("\n".join(judged(args.trick, folder)))


if __name__ == "__main__":
    main()
