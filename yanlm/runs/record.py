"""What a run writes about itself: ``run.json``, and samples for people."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from yanlm.data.corpus import Corpus
from yanlm.files import printable, sha256
from yanlm.kinds import PRESET_NAMES
from yanlm.modeling.io import WEIGHTS_FILE
from yanlm.runs.parsing import shown
from yanlm.runs.resuming import lasting
from yanlm.runs.settings import RunSettings, from_dict

RUN_FILE = "run.json"


def read_record(out: Path, needed: Sequence[str] = ("settings",)) -> dict[str, Any]:
    """What ``run.json`` of a run holds.

    Raises:
        ValueError: There is none, it is not what a run writes, or an entry that is needed is missing.
    """
    try:
        record = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        check_kinds(record, needed)
    except FileNotFoundError:
        raise ValueError(f"there is no {RUN_FILE} in {out}; give the --out folder of a run") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error) or "it is not a table"
        raise ValueError(f"{out / RUN_FILE} cannot be used: {why}") from None
    return dict(record)


def check_kinds(record: Any, needed: Sequence[str] = ("settings",)) -> None:
    """Check that what a record holds is of the kind that is written there.

    Raises:
        ValueError: It is not.
        KeyError: It lacks an entry that is needed.

    Example:
        >>> check_kinds({"settings": {}, "seconds": "x"})
        Traceback (most recent call last):
        ValueError: seconds is 'x'
    """
    if not isinstance(record, dict):
        raise ValueError("it is not a table")
    values: dict[str, tuple[Any, Any]] = {
        "settings": (record.get("settings", {}), dict),
        "stages": (stages := record.get("stages", {}), dict),
        "tokenizer": (record.get("tokenizer", {}), dict),
        "changed": (record.get("changed", []), list),
        "seconds": (record.get("seconds", 0.0), int | float),
    }
    for stage, entry in stages.items() if isinstance(stages, dict) else ():
        values[f"stages.{stage}"] = entry, dict
        if isinstance(entry, dict):
            values[f"stages.{stage}.seconds"] = entry.get("seconds"), int | float
    for name, (value, kind) in values.items():
        if not isinstance(value, kind):
            raise ValueError(f"{name} is {shown(value)}")
    for name in needed:
        record[name]


def is_finished(out: Path, record: Mapping[str, Any], stage: int) -> bool:
    """Whether a stage of the run in ``out`` is over, and its model is as it was written."""
    entry, weights = record.get("stages", {}).get(str(stage)), out / f"stage{stage}" / WEIGHTS_FILE
    return entry is not None and weights.is_file() and entry.get("sha256") in (None, sha256(weights))


def all_finished(out: Path, record: Mapping[str, Any], settings: RunSettings) -> bool:
    """Whether all stages of the run in ``out`` are over."""
    return all(is_finished(out, record, stage) for stage in settings.stages)


def finished(out: Path) -> RunSettings | None:
    """Settings of the run in ``out`` if all its stages are over: what a resumed fine-tuning changes is not theirs."""
    if not (out / RUN_FILE).is_file():
        return None
    record = read_record(out)
    settings = from_dict(record["settings"])
    return settings if all_finished(out, record, settings) else None


def saved_settings(folder: Path) -> dict[str, Any]:
    """Settings that the model of a folder was trained with; none if its ``run.json`` holds none.

    Raises:
        ValueError: The file is not what a run writes, or the preset or an objective in it is none.
    """
    file = folder / RUN_FILE
    if not file.is_file():
        return {}
    settings: dict[str, Any] = read_record(folder, needed=()).get("settings", {})
    known = {"preset": settings.get("preset", "tiny") in PRESET_NAMES}
    known |= {name: isinstance(settings.get(name, {}), dict) for name in ("stage1", "stage2", "denoising")}
    for name, right in known.items():
        if not right:
            raise ValueError(f"{file} cannot be used: settings.{name} is {shown(settings[name])}")
    return settings


def _typed() -> str:
    return " ".join(["yanlm", *sys.argv[1:]])


def run_head(settings: RunSettings, command: str | None) -> dict[str, Any]:
    """What ``run.json`` holds before anything is trained: command, settings, versions and hardware."""
    import transformers

    import moefm

    return {
        "command": command or _typed(),
        "settings": lasting(settings).to_dict(),
        "versions": {
            "moefm": moefm.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "hardware": {
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }


def describe_corpus(corpus: Corpus) -> dict[str, Any]:
    """What ``run.json`` says of the data."""
    rows = corpus.rows
    return {
        "name": corpus.name,
        "kind": corpus.kind,
        "rows": None if rows is None else len(rows),
        "validation": len(corpus.validation),
        "test": len(corpus.test),
        "skipped": len(corpus.skipped),
        "fingerprint": corpus.fingerprint,
    }


def samples_text(report: dict[str, Any]) -> str:
    """Filled examples, for people."""
    blocks = [
        f"source  {row['source']}\nfilled  {row['filled']}\ntruth   {row['truth']}\n" for row in report["examples"]
    ]
    return printable("\n".join(blocks))
