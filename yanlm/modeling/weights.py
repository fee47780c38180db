"""Weights in a file against the configuration beside it, before anything is built: names, shapes, types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_LAYERS = {
    "encoder_layers": re.compile(r"encoder\.blocks\.(\d+)\."),
    "flow_layers": re.compile(r"flow\.blocks\.(\d+)\."),
    "layers": re.compile(r"net\.(transformer\.h|model\.encoder\.layers|model\.decoder\.layers)\.(\d+)\."),
}
"""How the names of weights count the layers that a setting asks for."""

_WIDTHS = ("vocab_size", "d_model", "ffn_mult", "num_experts", "d_time", "max_span", "conv", "d_state", "d_conv")

Shapes = dict[str, tuple[int, ...]]


_VALUES = frozenset({"normal_", "mul", "mul_", "div", "__mul__", "__rmul__", "__truediv__"})
"""Functions that give fresh weights their values and do not change their shapes."""


class _Undrawn(TorchFunctionMode):
    """Leaves weights without values: on the meta device torch would import its compiler, which takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _VALUES:
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Modules that are made here have weights without memory and without values, on the meta device."""
    with torch.device("meta"), _Undrawn():
        yield


def read_shapes(file: Path) -> Shapes:
    """Names and shapes of the tensors in a safetensors file, of which only the header is read.

    Raises:
        ValueError: The file is damaged, or holds other numbers than those of weights.
    """
    from safetensors import SafetensorError, safe_open

    shapes: Shapes = {}
    try:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no dict
                tensor = tensors.get_slice(name)
                shapes[name] = tuple(tensor.get_shape())
                if "F" not in (dtype := tensor.get_dtype()):
                    raise ValueError(f"{name} is of type {dtype}, and weights are floating-point numbers")
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file.name} is damaged: {error}") from None
    return shapes


def check_shapes(kind: Any, config: Any, shapes: Shapes) -> None:
    """Check that the weights are those that a configuration asks for.

    Numbers of layers are compared first: only then is it safe to build the model, without memory for its weights.

    Args:
        kind: Class of the model.
        config: Its configuration.
        shapes: Result of :func:`read_shapes`.

    Raises:
        ValueError: A number of layers, a name or a shape differs, or a special token lies beyond the vocabulary.
    """
    for setting, pattern in _LAYERS.items():
        layers = {matched[0] for name in shapes if (matched := pattern.match(name))}
        wanted = getattr(config, setting, len(layers))
        has_trunk = config.method == "flow" and config.denoiser == "trunk"
        if wanted != len(layers) and (setting != "flow_layers" or has_trunk):
            raise ValueError(f"{setting} is {wanted} in config.json, and model.safetensors holds {len(layers)}")
    widest = max([2**20, *(size for shape in shapes.values() for size in shape)])
    for name in _WIDTHS:
        if (size := getattr(config, name, 0)) > widest:
            raise ValueError(f"{name} is {size} in config.json, and no weight in model.safetensors is that wide")
    for name in ("pad_token_id", "mask_token_id"):
        if (token := getattr(config, name)) is not None and token >= config.vocab_size:
            raise ValueError(f"{name} must be below vocab_size={config.vocab_size} in config.json, got {token}")
    with shapes_alone():
        weights = kind(config).state_dict(keep_vars=True)
    stored = {id(weights[name]) for name in shapes if name in weights}  # of those that are tied one is enough
    if missing := sorted(name for name, weight in weights.items() if id(weight) not in stored):
        raise ValueError(f"model.safetensors lacks {', '.join(missing[:3])}; it is not whole, or of another model")
    for name, shape in shapes.items():
        if name not in weights:
            raise ValueError(f"model.safetensors holds {name}, for which config.json has no place")
        if shape != (wanted := tuple(weights[name].shape)):
            raise ValueError(f"{name} has the shape {shape} in model.safetensors, and {wanted} by config.json")


def check_finite(folder: Path, model: Any) -> None:
    """Refuse weights that are not finite, which would only be noticed in the middle of a text.

    Raises:
        ValueError: There is one.
    """
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{folder}/model.safetensors holds numbers that are not finite, in {name}; take another copy, or train "
                "the model anew"
            )
