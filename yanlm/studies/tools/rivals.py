"""Models to time a flow against: the plain reference, GPT-2 and BART of published sizes, masked diffusion."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import yanlm
from moefm.checks import check_choice
from yanlm.config import ARConfig
from yanlm.modeling.build import baseline_config, fresh_model
from yanlm.studies.tools.models import Named, blocks_of, size_of

RIVALS = ("reference", "gpt2", "bart", "mdlm")
PUBLISHED: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 50257, "d_model": 768, "num_heads": 12, "layers": 12},  # GPT-2, 124M
    "bart": {"vocab_size": 50265, "d_model": 768, "num_heads": 12, "layers": 12},  # BART base, 6 + 6 layers, 139M
}
REFERENCE = Path(yanlm.__file__).parents[1] / "benchmarks" / "reference.py"


def rivals(flow: Named, names: Sequence[str], max_length: int, dtype: torch.dtype) -> list[Named]:
    """Models with random weights to time beside ``flow``, on its device; the reference has the flow's own weights.

    Args:
        flow: The model that they are timed beside.
        names: Names of :data:`RIVALS`.
        max_length: Tokens that their context has to hold.
        dtype: Dtype of their weights; the reference is always in float32.

    Raises:
        ValueError: A name is unknown, the flow is of another kind than the reference can follow, or its file is
            missing.

    Example:
        >>> from yanlm.studies.tools.models import fresh_models
        >>> [named.label for named in rivals(fresh_models("tiny", ["flow"], 16)[0], ["mdlm"], 16, torch.float32)]
        ['mdlm']
    """
    for name in names:
        check_choice("against", name, RIVALS)
    return [_rival(flow, name, max_length, dtype) for name in dict.fromkeys(names)]


def _rival(flow: Named, name: str, max_length: int, dtype: torch.dtype) -> Named:
    model = flow.model
    if name == "reference":
        own = fresh_model(model.config, 0).to(model.device)
        own.load_state_dict({name: tensor.float() for name, tensor in model.state_dict().items()})
        return Named(name, load_reference().Reference(own))
    if name == "mdlm":
        config = baseline_config(name, model.config)
    else:
        size = PUBLISHED[name]["vocab_size"]
        ids = {"pad_token_id": size - 1, "mask_token_id": size - 2}
        config = ARConfig(**PUBLISHED[name], **ids, method=name, max_length=max_length)
    return Named(name, fresh_model(config, 0).eval().to(model.device, dtype))


@cache
def load_reference() -> ModuleType:
    """The module ``benchmarks/reference.py`` of the repository, which no installed package has.

    Raises:
        ValueError: It is missing.
    """
    spec = importlib.util.spec_from_file_location("yanlm_reference", REFERENCE)
    if spec is None or spec.loader is None or not REFERENCE.is_file():
        raise ValueError(
            f"against reference needs {REFERENCE}, which only a clone of the repository has: "
            "install from a clone (pip install -e '.[lm]'), or leave reference out"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(named: Named) -> str:
    """A model in a few words.

    Example:
        >>> from yanlm.studies.tools.models import fresh_models
        >>> described(fresh_models("tiny", ["flow"], 16)[0])
        'flow: 2.1M parameters, 5 blocks'
    """
    return f"{named.label}: {size_of(named.model) / 1e6:.1f}M parameters, {blocks_of(named.model)} blocks"
