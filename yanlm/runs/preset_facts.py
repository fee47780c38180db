"""What ``yanlm info`` says about a preset. It is measured once and stored, because measuring needs an import of torch.

``python -m yanlm.runs.preset_facts`` measures again, after a preset or the model has changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")


def preset_facts(name: str) -> dict[str, Any]:
    """Parameters and configuration of a preset, as :func:`describe` measured them.

    Raises:
        ValueError: There is no such preset.

    Example:
        >>> preset_facts("paper-transformer")["parameters"]["experts"]
        12598272
    """
    facts: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    if name not in facts:
        raise ValueError(f"preset must be one of {', '.join(sorted(facts))}, got {name!r}")
    return facts[name]


def describe(name: str) -> dict[str, Any]:
    """Parameters and configuration of a preset, measured on the meta device: nothing is allocated."""
    from yanlm.config import YanConfig
    from yanlm.modeling.description import count_parameters, options_in_use
    from yanlm.modeling.weights import shapes_alone
    from yanlm.modeling.yan import YanModel
    from yanlm.runs.presets import get_preset

    preset = get_preset(name)
    size = int(preset.tokenizer.removeprefix("bpe:")) if preset.tokenizer.startswith("bpe:") else None
    ids = {"vocab_size": size, "pad_token_id": size - 2, "mask_token_id": size - 1} if size else {}
    with shapes_alone():
        model = YanModel(YanConfig(**(ids | preset.model)))
    config = options_in_use(model.config)
    del config["transformers_version"]  # not the preset's
    return {"preset": name, "parameters": count_parameters(model), "config": config}


if __name__ == "__main__":
    from yanlm.runs.presets import PRESETS

    FILE.write_text(json.dumps({name: describe(name) for name in PRESETS}, indent=1) + "\n", encoding="utf-8")
