"""Do words agree that are written at once? ``<mask> is in the <mask> .`` after a small world, judged for truth."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from moefm.checks import check_count
from yanlm.data.builtin.rooms import locations
from yanlm.data.builtin.statements import judge, parted, statement_rows
from yanlm.evaluation.held_out import held_out_examples, placed
from yanlm.runs.settings import resolve
from yanlm.seeding import row_seed
from yanlm.studies.tools.agreement_page import DRAWN, REREAD, SCORES, agreement_figure, score_table, summary_of
from yanlm.studies.tools.models import Named, load_one
from yanlm.studies.tools.study import Json, Study, integers, over_seeds
from yanlm.studies.tools.training import QUIET, shared_stage1, train_anew
from yanlm.studies.tools.variants import laid_over
from yanlm.tokenization.tokenizer import decode

MANY = {"num_experts": 8}
ONE_A_TEXT = {**MANY, "scope": "sequence"}
MIXTURE = {"ce": "mixture"}
BASELINES = {"one pass": "mlm", "masked diffusion": "mdlm", "autoregressive": "gpt2"}
FLOWS: dict[str, Json] = {
    "K = 1": {"model": {"num_experts": 1}},
    "one expert a word": {"model": MANY},
    "one expert a text": {"model": ONE_A_TEXT},
    "a text, consistent": {"model": ONE_A_TEXT, "stage2": {"objective": "consistent"}},
    "a word, mixture CE": {"model": MANY, "stage2": MIXTURE},
    "a text, mixture CE": {"model": ONE_A_TEXT, "stage2": MIXTURE},
    "a text, mixture CE, trunk": {"model": {**ONE_A_TEXT, "experts": "trunk"}, "stage2": MIXTURE},
    "a text, mixture CE, source": {
        "model": {**ONE_A_TEXT, "experts": "source"}, "stage2": MIXTURE,
        "recipe2": {"batch_size": 16},  # every row is encoded once for each expert
    },
    "a text, posterior CE, source": {
        "model": {**ONE_A_TEXT, "experts": "source"}, "stage2": {"ce": "posterior"},
        "recipe2": {"batch_size": 16, "lr": 5e-4},  # at 1.5e-3 it learns only as the rate falls
    },
}  # fmt: skip
"""Flows by name; eight experts unless said, the paper's loss and the rollout cross-entropy unless said."""

WORLDS = ["builtin:rooms@0.5", "builtin:lookups@0.25", "builtin:statements@0.25"]
"""Questions, statements with one word masked, and with both: who is where is learned from what shows one of them."""
STATEMENTS = ["builtin:statements"]
TOGETHER = 50
"""Worlds that are written about at once."""


def agreement_study(
    study: Study,
    *,
    first: float = 5.0,
    second: float = 15.0,
    seeds: Sequence[int] = (0, 1, 2),
    only: Sequence[str] = (),
    steps: Sequence[int] = (1, 2, 3, 4, 8),
    worlds: int = 300,
    samples: int = 8,
    options: Mapping[str, Any] | None = None,
) -> Json:
    """Train every model on worlds and on statements about them, and judge what it writes about unseen worlds.

    Flows learn from questions and statements for ``first`` minutes, their stage 1, which those of a seed share, and
    from statements with both words masked for ``second``, their stage 2. Other models learn for the same time from the
    same, but that the masked language model keeps what shows one of the words.

    Args:
        study: Where it is kept.
        first: Minutes of stage 1, or steps where ``options`` has ``steps``.
        second: Minutes of stage 2.
        seeds: Of weights and training.
        only: Names of the models; all if there is none.
        steps: Numbers of steps T.
        worlds: Test worlds.
        samples: Statements about each.
        options: Settings that all models share (:func:`yanlm.runs.settings.resolve`); ``steps`` counts optimizer steps
            of either part instead of the minutes.

    Raises:
        ValueError: An option or a name is wrong.
    """
    known = [*BASELINES, *FLOWS]
    for name in only:
        if name not in known:
            raise ValueError(f"no model {name!r}; there are {', '.join(known)}")
    names = [name for name in known if not only or name in only]
    counts, seeds = integers("steps", steps), integers("seeds", seeds, 0)
    check_count("worlds", worlds)
    check_count("samples", samples, 2)
    shared = dict(options or {})
    length = shared.pop("steps", None)
    study.begin({
        "first": first, "second": second, "worlds": worlds, "samples": samples, "steps": counts, "length": length,
        "options": {name: str(value) for name, value in shared.items()},
    })  # fmt: skip
    trainer = _Trainer(study.out, shared, first, second, length)

    def result(name: str, seed: int) -> Json:
        folder = trainer.baseline(name, seed) if name in BASELINES else trainer.flow(name, seed)
        scores = _judged(folder, counts, worlds, samples)
        shutil.rmtree(study.out / "run")
        return scores

    results: dict[str, list[Json]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            results[name].append(study.piece(f"{name}, seed {seed}", partial(result, name, seed)))
    truth = study.piece("data", lambda: judge(_true_texts(worlds, samples)))
    summary = {"data": truth, "by_model": summary_of(results)}
    trained = f"{first:g} + {second:g} minutes" if length is None else f"{length} + {length} steps"
    words = (
        f"{worlds} unseen worlds, {samples} statements about each, {over_seeds(seeds)}. True: person and room go "
        "together. People named: of those that so many statements could name. Every model trained "
        f"{trained}; eight experts unless K is given."
    )
    tables = {score: score_table(summary, score, counts) for score in SCORES}
    titled = {f"{SCORES[score].capitalize()}": table for score, table in tables.items()}
    return study.finish("Agreement between words", words, titled, agreement_figure(summary), summary)


class _Trainer:
    """Trains models for the study, the stage 1 that flows share once a seed."""

    def __init__(self, out: Path, shared: Json, first: float, second: float, length: int | None) -> None:
        self.out = out
        recipes = {"recipe1": {"batch_size": 32}, "recipe2": {"batch_size": 32}}
        self.shared = laid_over(QUIET | {"eval_rows": 20} | recipes, shared)
        self.steps, self.minutes = length, (first, second)

    def _length(self, part: int, stage: int) -> Json:
        return {f"steps{stage}": self.steps} if self.steps else {"minutes": self.minutes[part - 1]}

    def _train(self, options: Json, folder: Path) -> Path:
        train_anew(resolve(laid_over(self.shared, options)), folder)
        return folder

    def baseline(self, name: str, seed: int) -> Path:
        """A baseline: in the second part of its time on what flows have then, if that teaches it who is where."""
        kind = {"baseline": BASELINES[name], "seed": seed}
        begun = self._train(kind | {"data": WORLDS} | self._length(1, 1), self.out / "run" / "first")
        data = WORLDS if BASELINES[name] == "mlm" else STATEMENTS  # others see statements half written as it is
        return self._train(kind | {"data": data, "init": str(begun)} | self._length(2, 1), self.out / "run" / "second")

    def flow(self, name: str, seed: int) -> Path:
        """A flow on top of the stage 1 of its seed."""
        own = {"seed": seed, "data": WORLDS} | self._length(1, 1)
        start = shared_stage1(self.out / f"stage1-seed{seed}", laid_over(self.shared, own))
        change = {"stage": "2", "seed": seed, "init": str(start), "data": STATEMENTS} | self._length(2, 2)
        return self._train(laid_over(change, FLOWS[name]), self.out / "run" / "second")


def _judged(folder: Path, steps: Sequence[int], worlds: int, samples: int) -> Json:
    """What a model's statements are worth, by number of steps; for other methods drawn, and the most probable."""
    named = load_one(folder)

    def judged(count: int, **options: Any) -> Json:
        return judge(_written(named, worlds, steps=count, samples=samples, **options))

    with torch.no_grad():
        if named.can.reread:
            plain = {str(count): judged(count) for count in steps}
            turns = [count for count in steps if count > 1]
            reread = {f"{REREAD} {count}": judged(count, reread=True) for count in turns}
            drawn = {f"{DRAWN} {count}": judged(count, reread=True, temperature=1.0) for count in turns}
            return plain | reread | drawn
        if not named.can.steps:
            return {"token by token": judged(1, temperature=1.0), "most probable": judged(1)}
        return {str(count): judged(count, temperature=1.0) for count in steps} | {"most probable": judged(1)}


def _written(named: Named, worlds: int, **options: Any) -> list[list[str]]:
    """The model's statements about each world."""
    builder = named.builder
    assert builder is not None
    asked = held_out_examples(builder, statement_rows("test", worlds))
    texts: list[list[str]] = []
    for start in range(0, worlds, TOGETHER):
        part = asked[start : start + TOGETHER]
        batch = builder.collate(part)
        seeds = [row_seed(1, 0, start + i) for i in range(len(part))]
        masks = {name: batch[name] for name in ("slots", "source_mask", "slot_mask")}
        tokens = named.model.generate(batch["source_ids"], **masks, seeds=seeds, **options).tokens.tolist()
        for example, rows in zip(part, tokens, strict=True):
            texts.append([decode(builder.tokenizer, placed(example, row)) for row in rows])
    return texts


def _true_texts(worlds: int, samples: int) -> list[list[str]]:
    """True statements about the test worlds, everybody as likely: what a perfect model would write."""
    draw = random.Random("agreement")
    texts = []
    for row in statement_rows("test", worlds):
        context, _ = parted(row["source"])
        people = sorted(locations(context).items())
        drawn = [draw.choice(people) for _ in range(samples)]
        texts.append([f"{context} {person} is in the {room} ." for person, room in drawn])
    return texts
