"""What the package bert-score fixes for each encoder: the layer whose states are compared, and tables of baselines."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

_LAYERS = """
bert-base-uncased 9, bert-large-uncased 18, bert-base-multilingual-cased 9, bert-base-chinese 8, roberta-base 10,
roberta-large 17, roberta-large-mnli 19, distilroberta-base 5, distilbert-base-uncased 5,
distilbert-base-uncased-distilled-squad 4, distilbert-base-multilingual-cased 5, xlm-roberta-base 9,
xlm-roberta-large 17, albert-base-v1 10, albert-large-v1 17, albert-xlarge-v1 16, albert-xxlarge-v1 8, albert-base-v2 9,
albert-large-v2 14, albert-xlarge-v2 13, albert-xxlarge-v2 8, electra-small-discriminator 11,
electra-base-discriminator 9, electra-large-discriminator 14, deberta-base 9, deberta-base-mnli 9, deberta-large 16,
deberta-large-mnli 18, deberta-xlarge 18, deberta-xlarge-mnli 40, deberta-v2-xlarge 10, deberta-v2-xlarge-mnli 17,
deberta-v2-xxlarge 21, deberta-v2-xxlarge-mnli 22, deberta-v3-xsmall 10, deberta-v3-small 4, deberta-v3-base 9,
deberta-v3-large 12, mdeberta-v3-base 10, mpnet-base 8, bart-base 6, bart-large 10, bart-large-cnn 10,
bart-large-mnli 11, bart-large-xsum 9, t5-small 6, t5-base 11, t5-large 23, scibert_scivocab_uncased 8,
scibert_scivocab_cased 9, spanbert-base-cased 8, spanbert-large-cased 17, longformer-base-4096 7,
longformer-large-4096 14, sup-simcse-bert-base-uncased 10, sup-simcse-bert-large-uncased 18,
sup-simcse-roberta-base 10, sup-simcse-roberta-large 16
"""
_KNOWN = {name: int(layer) for name, layer in (entry.split() for entry in _LAYERS.split(","))}
_REMEDY = "give a number below 1, or a table of the package bert-score, such as rescale_baseline/en/roberta-large.tsv"


def default_layer(names: Iterable[str], layers: int) -> int:
    """The layer that bert-score chose for an encoder, by correlation with human judgement; for others the last.

    Args:
        names: Possible names of the encoder: on the hub, or of folders, also in the hub's cache.
        layers: How many layers it has.

    Example:
        >>> default_layer(["FacebookAI/roberta-large"], 24), default_layer(["models/my-encoder"], 6)
        (17, 6)
    """
    for name in names:
        *folders, last = ["", *Path(name.lower()).parts]
        cached = [part.rpartition("--")[2] for part in folders if part.startswith("models--")]  # OWNER--NAME/snapshots
        for known in (last, *cached):
            if _KNOWN.get(known, layers) < layers:
                return _KNOWN[known]
    return layers


def baseline_f1(baseline: float | str | Path, layer: int) -> float:
    """The F1 of unrelated texts, as given or from a table with the columns LAYER and F.

    Raises:
        ValueError: It is neither a number below 1 nor such a table, or the table lacks the layer.

    Example:
        >>> baseline_f1("0.83", 17)
        0.83
    """
    if isinstance(baseline, bool):
        raise ValueError(f"baseline must be a number or a file, got {baseline!r}; {_REMEDY}")
    try:
        value = float(baseline)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = _from_table(Path(baseline).expanduser(), layer)  # type: ignore[arg-type]
    if not (math.isfinite(value) and value < 1):
        raise ValueError(f"baseline must be below 1, got {value!r}; {_REMEDY}")
    return value


def _from_table(path: Path, layer: int) -> float:
    if not path.is_file():
        raise ValueError(f"baseline {str(path)!r} is neither a number nor a file; {_REMEDY}")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            values = {int(row["LAYER"]): float(row["F"]) for row in csv.DictReader(file)}
    except (KeyError, TypeError, ValueError, csv.Error):
        raise ValueError(f"baseline {path} has no comma-separated columns LAYER and F; {_REMEDY}") from None
    if layer not in values:
        known = f"{min(values)} to {max(values)}" if values else "none"
        raise ValueError(f"baseline {path} has no row for layer {layer}, its layers are {known}; {_REMEDY}")
    return values[layer]
