"""Fine-tuning on a task (B.4): its settings, its plan, its seeds."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from moefm.checks import check_count
from yanlm.data.corpus import Corpus
from yanlm.files import pasted, write_json, writing_to
from yanlm.generation.capabilities import capabilities
from yanlm.modeling.io import load_config, model_folder
from yanlm.runs.claim import FINETUNING_FILES, claimed
from yanlm.runs.listener import Listener
from yanlm.runs.record import RUN_FILE, check_kinds, finished, saved_settings
from yanlm.runs.resuming import check_same_training, lasting, with_changes
from yanlm.runs.settings import RunSettings, from_dict, resolve
from yanlm.runs.setup import longest
from yanlm.runs.validation import run_corpus
from yanlm.tasks.task import get_task
from yanlm.tokenization.tokenizer import load_tokenizer
from yanlm.training.checkpoints import reason

RECIPES: dict[str, dict[str, Any]] = {
    "tiny": {"lr": 1e-3, "warmup": 50, "batch_size": 32},
    "small": {"lr": 2e-4, "warmup": 100, "batch_size": 32},
    "base": {"lr": 5e-5, "warmup": 500, "batch_size": 32},
    "paper-transformer": {"lr": 1e-5, "warmup": 1000, "batch_size": 32, "schedule": "constant"},
    "paper-mamba": {"lr": 1e-5, "warmup": 1000, "batch_size": 32, "schedule": "constant"},
}
"""How the models of each preset are fine-tuned; the paper's settings are those of appendix B.3."""

MINUTES = 5.0
_LONGEST_PADDED = 16

WITHOUT_TEACHER = {"student_steps": 0, "reflow": 0.0}
"""A model is fine-tuned on the task, and does not learn from itself."""


def finetune_settings(
    model: str | Path, task: str, data: Sequence[str], options: Mapping[str, Any], *, padded: int | None = None
) -> RunSettings:
    """Settings of a fine-tuning: those the model was trained with, the recipe of its preset, and ``options`` over both.

    Args:
        model: Folder of a trained model.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        data: Specs.
        options: As for :func:`yanlm.runs.settings.resolve`; ``recipe`` is the only recipe.
        padded: Slots of every answer, so that their number gives nothing away. ``0`` is as many as it has tokens,
            ``None`` is as the model was trained. Labels are best padded: :func:`pad_answers`.

    Raises:
        ValueError: There is no model or no such task, or an option is wrong.
    """
    asked = get_task(task)
    folder = model_folder(model)
    config = load_config(folder)
    saved = saved_settings(folder)
    published = saved.get("init_from") is not None
    recipe = RECIPES["base" if published else saved.get("preset", "tiny")] | dict(options.get("recipe", {}))
    chosen: dict[str, Any] = {
        "preset": saved.get("preset", "tiny"),
        "data": tuple(data),
        "task": task,
        "init": str(folder),
        "check_every": 50,
        "patience": 10,
        "save_every": 200,
        **asked.training,
    }
    length = {name: options[name] for name in ("steps", "minutes") if options.get(name) is not None}
    if len(length) == 2:
        raise ValueError("give --steps or --minutes, not both")
    length = length or {"minutes": MINUTES}
    chosen |= {name: value for name, value in options.items() if name not in ("recipe", "steps", "minutes", "model")}
    # Only what is asked, unless the recipe says otherwise.
    recipe["masking"] = {"clean": 0.0, "tail": 0.0, "context": 0.0} | dict(recipe.get("masking", {}))
    if capabilities(config).stages == 2:
        chosen |= {"stage": "2", "stage1": saved.get("stage1", {}), "stage2": saved.get("stage2", {})}
        chosen |= {"recipe2": recipe, "model": _flow_settings(config) | dict(options.get("model", {}))}
        chosen |= {"steps2": length["steps"]} if "steps" in length else length
    else:
        chosen |= {"recipe1": recipe}
        if capabilities(config).denoises:
            learned = saved.get("denoising", {}) | WITHOUT_TEACHER
            chosen |= {"denoising": learned, "model": _flow_settings(config)}
            chosen["model"] |= dict(options.get("model", {}))
        else:
            if new := ", ".join(options.get("model", {})).replace("num_experts", "--experts"):
                raise ValueError(f"{folder} holds a model of kind {config.method}, without a flow: leave out {new}")
            chosen |= {"baseline": config.method, "model": {"pad_to": config.pad_to}}
        chosen |= {"steps1": length["steps"]} if "steps" in length else length
        if config.method == "gpt2":
            chosen["stage1"] = {"known": 0.0} | dict(options.get("stage1", {}))  # answers, no longer their sources
    chosen.setdefault("model", {})
    if padded is not None:
        chosen["model"] = chosen["model"] | {"pad_to": padded}
    return resolve(chosen)


def pad_answers(settings: RunSettings, corpus: Corpus) -> RunSettings:
    """Settings that give every answer as many slots as the longest, if the task pads its answers (labels).

    Their number then gives nothing away. If one answer is very long, nothing is padded.
    """
    task = get_task(str(settings.task))
    if not task.padded:
        return settings
    answers = {str(row[task.written]).strip() for row in corpus.rows or []}
    _, length = longest(answers, load_tokenizer(model_folder(str(settings.init))))
    slots = length if length <= _LONGEST_PADDED else 0
    return dataclasses.replace(settings, model=settings.model | {"pad_to": slots})


def _flow_settings(config: Any) -> dict[str, Any]:
    from yanlm.modeling.description import FLOW_SETTINGS

    return {name: getattr(config, name) for name in FLOW_SETTINGS}


PLAN_FILE, RESULT_FILE = FINETUNING_FILES


def write_plan(out: Path, settings: RunSettings, seeds: int, resume: bool = False, command: str | None = None) -> None:
    """Store what a fine-tuning is to do, so that its folder is enough to resume it, and what was changed.

    Raises:
        ValueError: The folder cannot be written, or ``resume`` is set and there is no plan.
    """
    plan = {"settings": lasting(settings).to_dict(), "seeds": seeds}
    if resume:
        plan = with_changes(_read(out), settings, command)
    with writing_to(out):
        write_json(out / PLAN_FILE, plan)


def read_plan(out: Path) -> tuple[RunSettings, int]:
    """What the fine-tuning in a folder is to do.

    Raises:
        ValueError: There is none.
    """
    plan = _read(out)
    try:
        return from_dict(plan["settings"]), check_count("seeds", plan["seeds"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"--resume {out}: {PLAN_FILE} cannot be used: {reason(error)}") from None


def _read(out: Path) -> dict[str, Any]:
    try:
        plan = json.loads((out / PLAN_FILE).read_text(encoding="utf-8"))
        check_kinds(plan)
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(
            f"--resume {out}: no fine-tuning to go on with ({reason(error)}); give its --out folder"
        ) from None
    return plan


def finetune(
    settings: RunSettings,
    seeds: int,
    out: str | Path,
    *,
    resume: bool = False,
    padded_answers: bool = False,
    device: str = "auto",
    command: str | None = None,
    listener: Listener | None = None,
) -> dict[str, Any] | None:
    """Fine-tune once for every seed, each into ``OUT/seed-N``. Finished seeds are not repeated.

    Args:
        settings: Settings from :func:`finetune_settings`; their seed is the first.
        seeds: Number of seeds.
        out: Folder for ``plan.json`` (what to do) and ``finetune.json`` (median and range of every score over the
            seeds).
        resume: Continue the fine-tuning in ``out``.
        padded_answers: Pad answers (:func:`pad_answers`) at the start.
        device: As for :func:`yanlm.runs.run.train`.
        command: Command line for the records.
        listener: Receives the progress.

    Returns:
        The content of ``finetune.json``; ``None`` in processes other than the first.

    Raises:
        ValueError: A setting or the data is wrong, ``out`` holds a fine-tuning and ``resume`` is not set, or one that
            is finished is to have another rate or length.

    Example:
        >>> import tempfile
        >>> from yanlm import YanConfig, YanModel, save_model, train_tokenizer
        >>> out = Path(tempfile.mkdtemp())
        >>> tokenizer = train_tokenizer(["a small text"], 260)
        >>> ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
        >>> sizes = {"vocab_size": len(tokenizer), "d_model": 16, "num_heads": 2}
        >>> save_model(out / "model", YanModel(YanConfig(**sizes, **ids, method="mlm", stage=1)), tokenizer)
        >>> rows = [json.dumps({"text": f"a small text {i}", "label": "good"}) for i in range(20)]
        >>> _ = (out / "rows.jsonl").write_text("\\n".join(rows))
        >>> options = {"steps": 1, "eval_rows": 2}
        >>> settings = finetune_settings(out / "model", "classify", [str(out / "rows.jsonl")], options)
        >>> finetune(settings, 1, out / "tuned", device="cpu")["task"]
        'classify'
    """
    from yanlm.evaluation.aggregate import over_seeds
    from yanlm.runs.run import train

    out, seeds = Path(out), check_count("seeds", seeds)
    main = int(os.environ.get("RANK", "0")) == 0
    hear = (listener or Listener()) if main else Listener()
    claim = claimed(out, resume=resume, finetuning=True)
    with claim if main else contextlib.nullcontext():
        corpus = run_corpus(settings, hear.note)
        if padded_answers and not resume:
            settings = pad_answers(settings, corpus)
        folders = {seed: out / f"seed-{seed}" for seed in range(settings.seed, settings.seed + seeds)}
        over = {seed: old for seed, folder in folders.items() if resume and (old := finished(folder))}
        if len(over) == seeds:
            check_same_training(_read(out), settings, f"another: --model {pasted(folders[settings.seed])}")
        plan = partial(write_plan, out, settings, seeds, resume, command)
        if main and not resume:
            plan()
        reports: list[dict[str, Any]] = []
        for seed, folder in folders.items():
            first = reports[0]["n"] if reports and settings.eval_rows is None else settings.eval_rows
            own = dataclasses.replace(over.get(seed, settings), seed=seed, eval_rows=first)
            options: dict[str, Any] = {"device": device, "command": command, "listener": listener, "corpus": corpus}
            options |= {"resume": resume and (folder / RUN_FILE).is_file(), "on_begin": plan}
            record = train(own, folder, **options)
            if record is not None:
                reports.append(record["evaluation"])
        if not reports:
            return None
        plan()
        summary = over_seeds(reports) | {"command": command, "init": settings.init}
        write_json(out / RESULT_FILE, summary)
        return summary
