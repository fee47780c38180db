"""Predictions one by one: what a model was asked, what it wrote, what was right, and the scores; as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanlm.evaluation.items import Fill, Item, masked_source
from yanlm.evaluation.scoring import Sums, prediction
from yanlm.files import write_text
from yanlm.tasks.task import Task, get_task
from yanlm.tokenization.examples import Builder


def record(builder: Builder, item: Item, task: str | Task, fill: Fill, sums: Sums, **which: int) -> dict[str, Any]:
    """A prediction.

    Returns:
        ``id`` (place of the row), ``task``, ``steps``, ``seed`` and ``sample`` as given, ``source`` with ``<mask>``,
        ``prediction``, ``fills`` (text of each span), ``reference``, or ``references`` if several count, ``scores``.

    Example:
        >>> from yanlm.evaluation.items import filled, items
        >>> from yanlm.tokenization.tokenizer import train_tokenizer
        >>> builder = Builder(train_tokenizer(["ab ab"], 258), max_length=16)
        >>> [item] = items(builder, [{"text": "ab", "label": "a"}], "classify")
        >>> entry = record(builder, item, "classify", filled(builder, item, item.truth), {"accuracy": (1, 1)}, steps=3)
        >>> entry["source"], entry["prediction"], entry["scores"]
        ('ab <mask>', 'a', {'accuracy': 1.0})
    """
    task = get_task(task)
    several = len(item.references) > 1
    return {
        "id": item.id,
        "task": task.name,
        **which,
        "source": masked_source(builder, item),
        "prediction": prediction(task, fill),
        "fills": fill.fills,
        **({"references": item.references} if several else {"reference": item.references[0]}),
        "scores": {name: total / count for name, (total, count) in sums.items() if count},
    }


def write_predictions(path: Path, predictions: Sequence[dict[str, Any]]) -> None:
    """Write predictions, one JSON object a line."""
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in predictions)
    write_text(path, "".join(lines))


def read_predictions(path: Path) -> list[dict[str, Any]]:
    """Read what :func:`write_predictions` wrote."""
    lines = path.read_text(encoding="utf-8").split("\n")  # other ends of lines may stand in a text
    return [json.loads(line) for line in lines if line]
