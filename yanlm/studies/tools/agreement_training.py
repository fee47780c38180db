"""The models of the study of agreement: trained once, kept in its folder, watched while they learn."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanlm.data.builtin.puzzle import Puzzle
from yanlm.data.corpus import Corpus, load_corpus
from yanlm.modeling.build import make_builder
from yanlm.runs.listener import Listener
from yanlm.runs.settings import RunSettings, resolve
from yanlm.studies.tools.agreement_methods import METHODS, TaskPlan, data_of, generation_of, options_of
from yanlm.studies.tools.agreement_texts import judged
from yanlm.studies.tools.models import Named, load_one, size_of
from yanlm.studies.tools.study import Json, Study
from yanlm.studies.tools.training import train_anew
from yanlm.studies.tools.variants import laid_over
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from yanlm.modeling.yan import YanModel

LOOKS = 10
"""How often a training is looked at."""
LOOK_ROWS, LOOK_SAMPLES = 64, 2
"""Validation rows of one look, and texts for each."""


class Watch(Listener):
    """Keeps the losses of a training, and how right the model's texts are as it learns.

    Args:
        look: The share that is right of what a model writes; called once there is something to generate with.
        seconds: Time between two looks; none if ``steps`` is set.
        steps: Optimizer steps between two looks.

    Attributes:
        losses: Minutes and loss, of every line of the log.
        valid: Minutes and share, of every look.
    """

    def __init__(self, look: Callable[[YanModel], float], *, seconds: float | None, steps: float | None) -> None:
        self.look, self.seconds, self.steps = look, seconds, steps
        self.losses: list[tuple[float, float]] = []
        self.valid: list[tuple[float, float]] = []
        self._model: Any = None
        self._before, self._now, self._due = 0.0, 0.0, 0.0

    def stage(self, stage: int, model: YanModel, settings: RunSettings) -> None:
        """Time and steps go on counting from the stage before."""
        self._model, self._before, self._now, self._due = model, self._now, self._now, 0.0

    def log(self, stage: int, record: dict[str, Any]) -> None:
        """Note the loss, and look at the model if that is due."""
        self._now = self._before + record["seconds"]
        self.losses.append((self._now / 60, record["loss"]))
        passed = record["seconds"] if self.seconds else record["step"]
        every = self.seconds or self.steps or 1
        if passed < self._due or not self._model.can.generate:
            return
        self._due = (passed // every + 1) * every
        training = self._model.training
        self._model.eval()
        self.valid.append((self._now / 60, self.look(self._model)))
        self._model.train(training)

    def curves(self, most: int = 40) -> Json:
        """Both curves; losses become means of neighbours if there are more than ``most``."""
        size = -(-len(self.losses) // most)
        parts = [self.losses[at : at + size] for at in range(0, len(self.losses), max(1, size))]
        means = [[sum(values) / len(part) for values in zip(*part, strict=True)] for part in parts]
        return {"loss": means, "valid": [list(point) for point in self.valid]}


@dataclass(frozen=True)
class Trainer:
    """Trains the methods of a study, each once a seed.

    Attributes:
        study: Its folder keeps the models, and its pieces the facts of each training.
        puzzle: The task.
        plan: How its methods are trained.
        shared: Options that the user has all trainings share.
        minutes: Training time of a model; none if ``steps`` is set.
        steps: Optimizer steps of a model.
        look: Number of steps T at which a training is looked at.
        device: Where.
    """

    study: Study
    puzzle: Puzzle
    plan: TaskPlan
    shared: Json = field(default_factory=dict)
    minutes: float | None = None
    steps: int | None = None
    look: int = 1
    device: str = "cpu"

    @cached_property
    def corpus(self) -> Corpus:
        """What all models learn from."""
        return load_corpus(data_of(self.plan, self.puzzle.spec))

    def settings(self, name: str, seed: int, init: Path | None = None) -> RunSettings:
        """The whole training of a method, both stages of a flow in the time or steps of one model.

        Raises:
            ValueError: An option is wrong, or not one of this method.
        """
        own: Json = {"tokenizer": self.puzzle.tokenizer, "data": data_of(self.plan, self.puzzle.spec), "seed": seed}
        if METHODS[name].teacher is not None:  # any folder will do to find mistakes
            own["init"] = str(init or self.study.out)
        options = laid_over(own, options_of(name, self.plan, self.shared))
        if self.steps is None:
            return resolve(options | {"minutes": self.minutes})
        draft = resolve(options | {"minutes": 1.0})
        if len(draft.stages) == 1:
            return resolve(options | {f"steps{draft.stages[0]}": self.steps})
        first = max(1, round(self.steps * draft.share1))
        return resolve(options | {"steps1": first, "steps2": max(1, self.steps - first)})

    def folder(self, name: str, seed: int) -> Path:
        """Where the model of a method is kept."""
        return self.study.out / "models" / _slug(f"{name} seed {seed}")

    def model(self, name: str, seed: int) -> Named:
        """The trained model of a method; trained now if it does not exist."""
        folder = self.folder(name, seed)
        key = training_key(name, seed)
        if key not in self.study.pieces or not folder.is_dir():
            self.study.pieces.pop(key, None)
            self.study.piece(key, partial(self._train, name, seed, folder))
        return load_one(folder, self.device)

    def _train(self, name: str, seed: int, folder: Path) -> Json:
        teacher = METHODS[name].teacher
        begun = None if teacher is None else self.folder(teacher, seed)
        if teacher is not None:
            self.model(teacher, seed)
        settings = self.settings(name, seed, begun)
        watch = Watch(
            partial(self._look, name, folder),
            seconds=None if self.minutes is None else 60 * self.minutes / LOOKS,
            steps=None if self.steps is None else self.steps / LOOKS,
        )
        record = train_anew(settings, folder, self.device, self.corpus, watch)
        for state in folder.glob("stage*/state"):
            shutil.rmtree(state)
        stages = [stage for _, stage in sorted(record["stages"].items())]
        return watch.curves() | {
            "parameters": size_of(load_one(folder).model),
            "steps": [stage["steps"] for stage in stages],
            "seconds": sum(stage["seconds"] for stage in stages),
        }

    def _look(self, name: str, folder: Path, model: YanModel) -> float:
        builder = make_builder(model, load_tokenizer(folder / "tokenizer"), Masking())
        rows = self.puzzle.rows("validation", LOOK_ROWS)
        steps = self.look if model.can.refine else 1
        options = {"steps": steps, "samples": LOOK_SAMPLES, **generation_of(name, self.plan)}
        return float(judged(model, builder, self.puzzle, rows, **options)["valid"])


def training_key(name: str, seed: int) -> str:
    """The piece of a training.

    Example:
        >>> training_key("flow", 0)
        'training of flow, seed 0'
    """
    return f"training of {name}, seed {seed}"


def _slug(text: str) -> str:
    """Words of a name as a folder's: ``flow-K-1-seed-0``."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in text).split())
