"""The models of a study: trained ones from folders, or fresh ones of equal size if weights do not matter."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from yanlm.config import BASELINES, ARConfig, YanConfig
from yanlm.generation.capabilities import Capabilities
from yanlm.modeling.build import baseline_config, fresh_model, make_builder
from yanlm.modeling.io import load_model, model_folder
from yanlm.runs.presets import get_preset
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import load_tokenizer

STAGES = ("stage1", "stage2")


@dataclass(frozen=True)
class Named:
    """A model with its name in tables and figures.

    Attributes:
        label: The name.
        model: A model of any method.
        builder: Makes its examples; ``None`` for a fresh model, which has no tokenizer.
        mark: Hash of the weights' file, so that a study notices another training under the same name.
    """

    label: str
    model: Any
    builder: Builder | None = None
    mark: str = ""

    @property
    def method(self) -> str:
        """``flow``, ``mlm``, ``mdlm``, ``gpt2`` or ``bart``."""
        return str(self.model.config.method)

    @property
    def can(self) -> Capabilities:
        """What the model supports."""
        return cast(Capabilities, self.model.can)


def named_folders(specs: Sequence[str]) -> dict[str, Path]:
    """Folders of models by label: ``LABEL=DIR``, or ``DIR``, which is called by its last parts that differ.

    Raises:
        ValueError: There is none, a label is given twice, or a folder holds no model.
    """
    if not specs:
        raise ValueError("no model named; give --model DIR, or --model LABEL=DIR")
    given = [_split(spec) for spec in specs]
    depth = 1
    while len(names := [label or _name(path, depth) for label, path in given]) > len(set(names)) and depth < 8:
        depth += 1
    if len(set(names)) < len(names):
        raise ValueError(f"model {next(n for n in names if names.count(n) > 1)!r} is given twice; label them LABEL=DIR")
    return {name: model_folder(path) for name, (_, path) in zip(names, given, strict=True)}


def load_named(specs: Sequence[str], device: str = "cpu") -> list[Named]:
    """Load the models of :func:`named_folders`."""
    return [load_one(folder, device, label) for label, folder in named_folders(specs).items()]


def load_one(run: Path, device: str = "cpu", label: str = "") -> Named:
    """Load the model of a run, or of one of its stages."""
    folder = model_folder(run)
    model = load_model(folder, device)
    return Named(label, model, make_builder(model, load_tokenizer(folder), Masking()), mark_of(folder))


def marks(models: Sequence[Named]) -> dict[str, str]:
    """Marks by label, for the settings of a study."""
    return {named.label: named.mark for named in models}


def mark_of(folder: Path) -> str:
    """Hash of the weights in a model's folder."""
    with (folder / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:16]


def fresh_models(preset: str, methods: Sequence[str], max_length: int, device: str = "cpu") -> list[Named]:
    """Models with random weights, each as large as the preset's flow, for contexts of ``max_length`` tokens.

    Raises:
        ValueError: There is no such preset or method.
    """
    known = ("flow", *BASELINES)
    if unknown := [method for method in methods if method not in known]:
        raise ValueError(f"methods must be among {', '.join(known)}, got {unknown[0]!r}")
    chosen = get_preset(preset)
    flow = YanConfig(**(chosen.vocabulary | chosen.model | {"max_length": max_length}))
    configs = {method: flow if method == "flow" else baseline_config(method, flow) for method in methods}
    return [Named(method, fresh_model(config, 0).eval().to(device)) for method, config in configs.items()]


def size_of(model: Any) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def blocks_of(model: Any) -> int:
    """Number of Transformer or Mamba blocks. Where launching a kernel takes longer than the kernel, time follows them.

    Example:
        >>> [(named.method, blocks_of(named.model)) for named in fresh_models("tiny", ["flow", "gpt2"], 16)]
        [('flow', 5), ('gpt2', 10)]
    """
    config = model.config
    if isinstance(config, ARConfig):
        return int(config.layers)
    return int(config.encoder_layers + (0 if model.flow is None or model.can.denoises else config.flow_layers))


def _split(spec: str) -> tuple[str | None, Path]:
    label, mark, folder = spec.partition("=")
    if not mark or Path(spec).exists():
        return None, Path(spec)
    if not label or not folder:
        raise ValueError(f"--model must be DIR or LABEL=DIR, got {spec!r}")
    return label, Path(folder)


def _name(path: Path, depth: int) -> str:
    """The last ``depth`` parts of a folder, a stage apart."""
    parts = path.resolve().parts[1:]
    own = [part for part in parts if part not in STAGES] if depth == 1 else list(parts)
    return "/".join(own[-depth:]) or str(path)
