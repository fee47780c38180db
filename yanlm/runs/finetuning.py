"""Fine-tuning on a task (B.4): its settings, its plan, its seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moefm.checks import check_count
from yanlm.files import write_json, writing_to
from yanlm.generation.capabilities import capabilities
from yanlm.modeling.io import load_model, model_folder
from yanlm.runs.record import RUN_FILE
from yanlm.runs.settings import RunSettings, from_dict, resolve
from yanlm.tasks.rows import load_task
from yanlm.tasks.task import Task, get_task
from yanlm.tokenization.tokenizer import encode, load_tokenizer

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


def finetune_settings(
    model: str | Path, task: str, data: Sequence[str], options: Mapping[str, Any], *, padded: int | None = None
) -> RunSettings:
    """Settings of a fine-tuning: those the model was trained with, the recipe of its preset, and ``options`` over both.

    Args:
        model: Folder of a trained model.
        task: One of :data:`yanlm.tasks.task.TASKS`.
        data: Specs.
        options: As for :func:`yanlm.runs.settings.resolve`; ``recipe`` is the one recipe there is.
        padded: Slots of every answer, so that their number says nothing of it; ``0`` for as many as it has tokens,
            ``None`` for the longest where the task pads its answers (labels), and else as many as it has tokens.

    Raises:
        ValueError: There is no model, no such task, or an option is wrong.
    """
    asked = get_task(task)
    folder = model_folder(model)
    config = load_model(folder).config
    saved = _saved_settings(folder)
    recipe = RECIPES[saved.get("preset", "tiny")] | dict(options.get("recipe", {}))
    chosen: dict[str, Any] = {
        "preset": saved.get("preset", "tiny"),
        "data": tuple(data),
        "task": task,
        "init": str(folder),
        "check_every": 50,
        "patience": 10,
        "save_every": 200,
        "eval_rows": 1_000_000,
        **asked.training,
    }
    length = {name: options[name] for name in ("steps", "minutes") if options.get(name) is not None}
    if len(length) == 2:
        raise ValueError("give --steps or --minutes, not both")
    length = length or {"minutes": MINUTES}
    chosen |= {name: value for name, value in options.items() if name not in ("recipe", "steps", "minutes", "model")}
    # What is asked and nothing else, unless the recipe says so.
    recipe["masking"] = {"clean": 0.0, "tail": 0.0, "context": 0.0} | dict(recipe.get("masking", {}))
    if capabilities(config).stages == 2:
        chosen |= {"stage": "2", "stage1": saved.get("stage1", {}), "stage2": saved.get("stage2", {})}
        chosen |= {"recipe2": recipe, "model": _flow_options(config) | dict(options.get("model", {}))}
        chosen |= {"steps2": length["steps"]} if "steps" in length else length
    else:
        chosen |= {"baseline": config.method, "recipe1": recipe}
        chosen |= {"steps1": length["steps"]} if "steps" in length else length
        if config.method == "gpt2":
            chosen["stage1"] = {"known": 0.0} | dict(options.get("stage1", {}))  # answers, no longer their sources
    chosen.setdefault("model", {})
    if padded is not None or asked.padded:
        slots = padded if padded is not None else _longest_answer(asked, chosen, folder)
        chosen["model"] = chosen["model"] | {"pad_to": slots}
    return resolve(chosen)


def _saved_settings(folder: Path) -> dict[str, Any]:
    """Settings that the model was trained with; none where the folder does not say."""
    try:
        saved: dict[str, Any] = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        return {}
    return saved


def _flow_options(config: Any) -> dict[str, Any]:
    from yanlm.modeling.build import FLOW_SETTINGS as FLOW_OPTIONS

    return {name: getattr(config, name) for name in FLOW_OPTIONS}


def _longest_answer(task: Task, chosen: Mapping[str, Any], folder: Path) -> int:
    """Tokens of the longest answer of a training row, so that every answer has as many slots; 0 where it is long."""
    names = ("weights", "text_column", "source_field", "target_field")
    given: dict[str, Any] = {name: chosen.get(name) for name in names}
    corpus = load_task(chosen["data"], task, **given)
    tokenizer = load_tokenizer(folder)
    answers = {row[task.written] for row in corpus.rows or []}
    longest = max(len(encode(tokenizer, f" {answer.strip()}")) for answer in answers)
    return longest if longest <= _LONGEST_PADDED else 0


PLAN_FILE = "plan.json"


def write_plan(out: Path, settings: RunSettings, seeds: int) -> None:
    """Keep what a fine-tuning is to do, so that it can be resumed from its folder alone.

    Raises:
        ValueError: There is a plan already, or the folder cannot be written.
    """
    if (out / PLAN_FILE).exists():
        raise ValueError(f"{out} holds a fine-tuning already; go on with it: --resume {out}, or choose another --out")
    with writing_to(out):
        write_json(out / PLAN_FILE, {"settings": settings.to_dict(), "seeds": seeds})


def read_plan(out: Path) -> tuple[RunSettings, int]:
    """What the fine-tuning in a folder is to do.

    Raises:
        ValueError: There is none.
    """
    try:
        plan = json.loads((out / PLAN_FILE).read_text(encoding="utf-8"))
        return from_dict(plan["settings"]), int(plan["seeds"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"--resume {out}: no fine-tuning to go on with ({error}); give its --out folder") from None


def finetune(
    settings: RunSettings,
    seeds: int,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    command: str | None = None,
    listener: Any = None,
) -> dict[str, Any] | None:
    """Fine-tune once for every seed, each into ``OUT/seed-N``; what is done already is not done again.

    Args:
        settings: Of :func:`finetune_settings`; its seed is the first.
        seeds: How many.
        out: Folder; gets ``finetune.json``, the median and range of every score over the seeds.
        resume: Go on with what is in ``out``.
        device: As for :func:`yanlm.runs.run.train`.
        command: Kept in the records.
        listener: A :class:`yanlm.runs.run.Listener`.

    Returns:
        What ``finetune.json`` holds; ``None`` in processes other than the first.
    """
    import dataclasses

    from yanlm.evaluation.aggregate import over_seeds
    from yanlm.runs.run import train

    check_count("seeds", seeds)
    reports = []
    for seed in range(settings.seed, settings.seed + seeds):
        folder = out / f"seed-{seed}"
        begun = (folder / RUN_FILE).is_file()
        if begun and not resume:
            raise ValueError(f"{folder} holds a run already; go on with it: --resume {out}, or choose another --out")
        record = train(
            dataclasses.replace(settings, seed=seed),
            folder,
            resume=begun,
            device=device,
            command=command,
            listener=listener,
        )
        if record is not None:
            reports.append(record["evaluation"])
    if not reports:
        return None
    summary = over_seeds(reports) | {"command": command, "init": settings.init}
    write_json(out / "finetune.json", summary)
    return summary
