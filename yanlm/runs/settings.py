"""All settings of a training run, from a preset, a file and the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moefm.checks import check_choice, check_count, check_positive
from yanlm.kinds import AUTOREGRESSIVE, BASELINES
from yanlm.objectives.settings import Denoising, Stage1, Stage2
from yanlm.runs.baseline import encoder_denoises, for_baseline, for_denoiser
from yanlm.runs.initial import taken_over
from yanlm.runs.parsing import checked_model, parsed, replaced
from yanlm.runs.presets import Recipe, get_preset
from yanlm.training.schedule import TrainSettings

STAGES = ("both", "1", "2")
ALL = "all"
"""Held-out rows without a limit."""


@dataclass(frozen=True)
class RunSettings:
    """A whole run of ``yanlm train``.

    Attributes:
        preset: Name of the preset.
        data: Specs of :func:`yanlm.data.corpus.load_corpus`.
        weights: Shares of the specs, or ``None``.
        text_column: Name of the text's column in files that have no ``text``.
        tokenizer: ``bpe:SIZE`` or ``words:SIZE`` trained on the data, or what
            :func:`yanlm.tokenization.tokenizer.load_tokenizer` takes.
        init: Model folder to start from, or ``None``.
        init_from: Folder of a published GPT-2 or BART to start the baseline from, or ``None``.
        baseline: ``gpt2``, ``bart``, ``mdlm`` or ``mlm`` instead of the flow, trained in one stage; or ``None``.
        task: One of :data:`yanlm.tasks.task.TASKS`, for reading the data and evaluating the result, or ``None``.
        source_field: Name of the field of the text or context, if it has another name.
        target_field: Name of the field of the answer or label.
        stage: ``both``, ``1`` or ``2``.
        minutes: Training time of all stages together, or ``None`` for steps.
        share1: Share of this time for stage 1.
        steps1: Optimizer steps of stage 1.
        steps2: Optimizer steps of stage 2.
        model: Options of :class:`yanlm.YanConfig`.
        stage1: Objective of stage 1.
        stage2: Objective of stage 2.
        denoising: The objective if the encoder is the flow's denoiser (``model.denoiser``); then there is only stage 1.
        recipe1: Training of stage 1.
        recipe2: Training of stage 2.
        accumulate: Micro-batches in a step.
        precision: ``no`` or ``bf16``.
        compile: Whether ``torch.compile`` fuses the operations of the model's blocks.
        save_every: Steps between checkpoints.
        log_every: Steps between lines of the log.
        log_with: Trackers that get its numbers (:mod:`yanlm.training.trackers`).
        sample_every: Steps between samples.
        check_every: Steps between two validations of the task's score (early stopping), or ``None``.
        check_rows: Rows used in a validation.
        patience: Validations without a better score after which a stage stops, or ``None``.
        eval_rows: Held-out rows to evaluate at the end, ``all``, or ``None`` for as many as a quarter of the training
            time allows (without a task, at most 300).
        seed: Seed of the weights and of all random numbers in training.
    """

    preset: str = "tiny"
    data: tuple[str, ...] = ("builtin:pydoc",)
    weights: tuple[float, ...] | None = None
    text_column: str | None = None
    tokenizer: str = "bpe:512"
    init: str | None = None
    init_from: str | None = None
    baseline: str | None = None
    task: str | None = None
    source_field: str | None = None
    target_field: str | None = None
    stage: str = "both"
    minutes: float | None = None
    share1: float = 0.4
    steps1: int | None = None
    steps2: int | None = None
    model: dict[str, Any] = field(default_factory=dict)
    stage1: Stage1 = field(default_factory=Stage1)
    stage2: Stage2 = field(default_factory=Stage2)
    denoising: Denoising = field(default_factory=Denoising)
    recipe1: Recipe = field(default_factory=Recipe)
    recipe2: Recipe = field(default_factory=Recipe)
    accumulate: int = 1
    precision: str = "no"
    compile: bool = False
    save_every: int = 200
    log_every: int = 10
    log_with: tuple[str, ...] = TrainSettings.log_with
    sample_every: int = 200
    check_every: int | None = None
    check_rows: int = 200
    patience: int | None = None
    eval_rows: int | str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what no other class checks."""
        check_choice("stage", self.stage, STAGES)
        if self.baseline is not None:
            check_choice("baseline", self.baseline, BASELINES)
        if (self.baseline is not None or self.denoises) and (self.stage == "2" or self.steps2 is not None):
            kind = "a flow with denoiser='encoder'" if self.denoises else f"baseline {self.baseline}"
            raise ValueError(f"{kind} has one stage: give --minutes or --steps1, and no stage 2")
        if self.init_from is not None:
            if self.baseline not in AUTOREGRESSIVE:
                raise ValueError("--init-from goes with --baseline gpt2 or bart, whose weights can be taken up")
            if self.init is not None:
                raise ValueError("give --init, a model folder of ours, or --init-from, a published one: one of them")
        if self.denoising.taught and self.init is None:
            raise ValueError("student_steps and reflow need a teacher to begin from: give --init DIR")
        for name in ("accumulate", "save_every", "log_every", "sample_every", "check_rows"):
            check_count(name, getattr(self, name))
        if self.eval_rows not in (None, ALL):
            try:
                check_count("eval_rows", self.eval_rows)  # type: ignore[arg-type]
            except ValueError as error:
                raise ValueError(f"{error}, or 'all'") from None
        if self.check_every is not None and self.task is None:
            raise ValueError("check_every goes with a task, whose score on validation it looks at")
        if check_count("seed", self.seed, minimum=0) >= 2**63:
            raise ValueError(f"seed must be below 2**63, got {self.seed}")
        if self.minutes is not None:
            check_positive("minutes", self.minutes)
            if self.steps1 is not None or self.steps2 is not None:
                raise ValueError("give --minutes or --steps1/--steps2, not both")
        for number in self.stages:
            steps = self.steps1 if number == 1 else self.steps2
            if self.minutes is None and steps is None:
                raise ValueError(f"--steps{number} must be given, or --minutes for the whole run")
            if steps is not None:
                check_count(f"steps{number}", steps)
        for recipe in (self.recipe1, self.recipe2):
            if recipe.batch_size % self.accumulate:
                raise ValueError(
                    f"batch_size must be a multiple of accumulate={self.accumulate}, got {recipe.batch_size}"
                )
        if not 0 < self.share1 < 1:
            raise ValueError(f"share1 must lie in (0, 1), got {self.share1!r}")
        for number in self.stages:
            self.for_stage(number)  # checks what the loop will

    @property
    def denoises(self) -> bool:
        """Whether the run trains a flow whose denoiser is the encoder."""
        return self.baseline is None and self.model.get("denoiser") == "encoder"

    @property
    def kind(self) -> str | None:
        """What is trained, unless it is the two stages of a flow behind its encoder."""
        return "flow, denoised by its encoder" if self.denoises else self.baseline

    @property
    def stages(self) -> tuple[int, ...]:
        """The stages this run trains."""
        if self.baseline is not None or self.denoises:
            return (1,)
        return (1, 2) if self.stage == "both" else (int(self.stage),)

    def recipe(self, stage: int) -> Recipe:
        """How a stage is trained."""
        return self.recipe1 if stage == 1 else self.recipe2

    def for_stage(self, stage: int) -> TrainSettings:
        """Settings of the loop of a stage: those it shares with the run and with the recipe of the stage."""
        shared = {f.name for f in dataclasses.fields(TrainSettings)}
        values = {
            f.name: getattr(part, f.name)
            for part in (self, self.recipe(stage))
            for f in dataclasses.fields(part)
            if f.name in shared
        }
        steps = self.steps1 if stage == 1 else self.steps2
        return TrainSettings(**(values | {"steps": steps, "minutes": self.stage_minutes(stage)}))

    def stage_minutes(self, stage: int) -> float | None:
        """Training time of one stage."""
        if self.minutes is None or len(self.stages) == 1:
            return self.minutes
        return self.minutes * (self.share1 if stage == 1 else 1 - self.share1)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)


_GROUPS = ("stage1", "stage2", "denoising", "recipe1", "recipe2")
_TABLES = (*_GROUPS, "model")


def resolve(options: Mapping[str, Any]) -> RunSettings:
    """Settings of a run: a preset, changed by ``options``.

    Args:
        options: Names of :class:`RunSettings`; ``model``, ``stage1``, ``stage2``, ``denoising``, ``recipe1`` and
            ``recipe2`` are tables of what changes in them.

    Raises:
        ValueError: A name is unknown, or a value has the wrong type or is out of range.

    Example:
        >>> settings = resolve({"minutes": 3, "model": {"num_experts": 6}, "stage2": {"objective": "consistent"}})
        >>> settings.model["num_experts"], settings.stage2.objective, settings.stage_minutes(1)
        (6, 'consistent', 1.2000000000000002)
    """
    options = {name: value for name, value in options.items() if name not in _TABLES or value is not None}
    options = parsed(RunSettings, "", _listed(options))
    preset = get_preset(options.get("preset", "tiny"))
    if options.get("baseline") is not None:
        preset, options = for_baseline(preset, options)
    if encoder_denoises(options):
        preset, options = for_denoiser(preset, options)
    elif given := ", ".join(options.get("denoising") or ()):
        raise ValueError(f"denoising is of a flow with denoiser='encoder': set that in [model], or leave out {given}")
    chosen: dict[str, Any] = {"share1": preset.share1} | dict(options) | taken_over(preset, options)
    for name in _GROUPS:
        chosen[name] = replaced(getattr(preset, name), name, chosen.get(name, {}))
    if all(chosen.get(name) is None for name in ("minutes", "steps1", "steps2")):
        chosen |= preset.length
    settings = RunSettings(**chosen)  # the model's options last: checking them takes an import of transformers
    return dataclasses.replace(settings, model=checked_model(settings.model))


def _listed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options in which one spec stands for a list of one."""
    data = options.get("data")
    return dict(options) | ({"data": (data,)} if isinstance(data, str) else {})


def from_dict(saved: Mapping[str, Any]) -> RunSettings:
    """Settings as :meth:`RunSettings.to_dict` saved them.

    Example:
        >>> settings = resolve({"minutes": 1})
        >>> from_dict(settings.to_dict()) == settings
        True
    """
    try:
        values = parsed(RunSettings, "", _listed(saved))
        for name in _GROUPS:
            kind: Any = {"stage1": Stage1, "stage2": Stage2, "denoising": Denoising}.get(name, Recipe)
            values[name] = replaced(kind(), name, values.get(name, {}))
        return RunSettings(**values)
    except ValueError as error:
        raise ValueError(f"the saved settings do not fit this version: {error}") from None
