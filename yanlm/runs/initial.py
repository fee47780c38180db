"""What a run takes over from the model that it begins from, and what it cannot change in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yanlm.runs.baseline import encoder_denoises
from yanlm.runs.presets import Preset
from yanlm.tokenization.specs import trained_size

_ELSEWHERE = {
    "method": "choose the kind of model with baseline",
    "stage": "choose it with stage, outside of [model]",
    "vocab_size": "the tokenizer has it",
    "pad_token_id": "the tokenizer has it",
    "mask_token_id": "the tokenizer has it",
}
"""Options of a model that a run decides itself, and how."""


def taken_over(preset: Preset, options: Mapping[str, Any]) -> dict[str, Any]:
    """``tokenizer`` and ``model`` of a run: what is given, over what the model of ``init`` has, or else the preset.

    Raises:
        ValueError: A tokenizer or a size is given that is not that model's (only its flow may be another), an option
            that is not decided here, or a folder holds the tokenizer of another model.

    Example:
        >>> from yanlm.runs.presets import get_preset
        >>> taken_over(get_preset("tiny"), {"tokenizer": "words:50"})["tokenizer"]
        'words:50'
    """
    given, init = dict(options.get("model") or {}), options.get("init")
    known = {**preset.model, "method": options.get("baseline") or "flow"}
    for name, instead in _ELSEWHERE.items():
        if name in given and given[name] != known.get(name):
            raise ValueError(f"model.{name} is no setting of a run: {instead}")
    chosen = {"tokenizer": options.get("tokenizer", preset.tokenizer), "model": {**preset.model, **given}}
    folder, config = _initial(options)
    if config is None:
        return chosen
    from yanlm.modeling.description import FLOW_SETTINGS

    fixed = [*FLOW_SETTINGS, *(("encoder_layers",) if options.get("baseline") else ())]  # of the flow it is as large as
    own = {name: getattr(config, name) for name in chosen["model"] if name not in fixed and hasattr(config, name)}
    for name, value in own.items():
        if name in given and json.dumps(given[name]) != json.dumps(value):
            raise ValueError(
                f"model.{name} is {value!r} in the model of --init {init}, got {given[name]!r}: leave it out"
            )
    saved = _saved_tokenizer(folder) or preset.tokenizer
    spec = options.get("tokenizer", saved)
    if spec != saved and not _same_tokenizer(spec, folder, config.vocab_size):
        raise ValueError(f"the model of --init {init} has a tokenizer of its own: leave out --tokenizer {spec}")
    return {"tokenizer": spec, "model": {**preset.model, **own, **given}}


def _initial(options: Mapping[str, Any]) -> tuple[Path, Any]:
    """Folder and configuration of the model of ``init``; no configuration if the run cannot begin from it."""
    folder = Path(str(options.get("init")))
    if options.get("init") is None:
        return folder, None
    from yanlm.modeling.io import load_config, model_folder

    try:
        folder = model_folder(folder)
        config = load_config(folder)
    except ValueError:  # said when it is loaded
        return folder, None
    _check_tokenizer(folder, config, str(options["init"]))
    same = config.method == (options.get("baseline") or "flow")
    if config.method in ("flow", "vfm"):  # a flow of the other kind is refused when it is loaded
        same = same and (config.denoiser == "encoder") == encoder_denoises(options)
    return folder, config if same else None


def _check_tokenizer(folder: Path, config: Any, init: str) -> None:
    """Check that the tokenizer in a folder is that of its model, before anything is trained with it."""
    from yanlm.tokenization.tokenizer import check_pair, load_tokenizer

    try:
        check_pair(load_tokenizer(folder), config)
    except ValueError as error:
        raise ValueError(
            f"--init {init} cannot be trained further: {error}; give the folder as its training wrote it"
        ) from None


def _same_tokenizer(spec: str, folder: Path, size: int) -> bool:
    """Whether a spec may name the tokenizer of a model: of one that is trained on the data only the size is known."""
    if (trained := trained_size(spec)) is not None:
        return trained == size
    from yanlm.tokenization.tokenizer import load_tokenizer

    named, own = load_tokenizer(spec), load_tokenizer(folder)
    return bool(named.get_vocab() == own.get_vocab())


def _saved_tokenizer(folder: Path) -> str | None:
    """The tokenizer of the run that trained a model, as its settings name it."""
    try:
        return str(json.loads((folder / "run.json").read_text(encoding="utf-8"))["settings"]["tokenizer"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
