"""What a run writes about itself: ``run.json``, and samples for people."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from yanlm.data.corpus import Corpus
from yanlm.files import printable
from yanlm.runs.resuming import lasting
from yanlm.runs.settings import RunSettings

RUN_FILE = "run.json"


def read_record(out: Path) -> dict[str, Any]:
    """What ``run.json`` of a run holds.

    Raises:
        ValueError: There is none, or it is not what a run writes.
    """
    try:
        record = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        tables = (record, record["settings"], record.get("stages", {}), *record.get("stages", {}).values())
        if not all(isinstance(table, dict) for table in tables):
            raise ValueError("it holds lists or values where tables belong")
    except FileNotFoundError:
        raise ValueError(f"there is no {RUN_FILE} in {out}; give the --out folder of a run") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error) or "it is not a table"
        raise ValueError(f"{out / RUN_FILE} cannot be used: {why}") from None
    return dict(record)


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
