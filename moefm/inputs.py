"""Checks of what users pass in: converted if the meaning is clear, else refused with the remedy."""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor, nn


def check_instance(name: str, value: Any) -> None:
    """Raise ``TypeError`` if a class is passed in place of an instance."""
    if isinstance(value, type):
        raise TypeError(f"{name} must be an instance, got the class {value.__name__}: write {value.__name__}(...)")


def check_device(device: Any) -> None:
    """Raise ``ValueError`` unless torch can place a tensor on ``device``."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ValueError(f"device must be one that torch has here, such as 'cpu', got {device!r}: {reason}") from None


def check_field(field: Any) -> None:
    """Raise ``TypeError`` unless ``field`` has what a :class:`moefm.MixtureField` has."""
    check_instance("field", field)
    if not all(hasattr(field, name) for name in ("trunk", "heads", "head", "gate_logits", "num_experts")):
        raise TypeError(
            f"field must be a MixtureField, got {type(field).__name__}: take an MLPMixtureField, or subclass "
            "MixtureField and write trunk, heads, head and gate_logits"
        )


def check_trainable(field: Any) -> None:
    """Raise unless ``field`` is a field with weights that can be trained here."""
    check_field(field)
    if not (torch.is_grad_enabled() and any(parameter.requires_grad for parameter in field.parameters())):
        remedy = "field.requires_grad_() lets it, outside torch.no_grad and torch.inference_mode"
        raise ValueError(f"field must have a weight that records gradients: {remedy}")


def check_cond(field: Any, cond: Any, batch: torch.Size) -> None:
    """Let the field check a condition once, before anything is computed."""
    if hasattr(field, "check_cond"):
        field.check_cond(cond, batch)


def recordable(value: Any) -> Any:
    """A tensor of ``torch.inference_mode`` as a copy that a graph can hold; anything else as it is.

    Example:
        >>> with torch.inference_mode():
        ...     z = torch.zeros(1)
        >>> z.is_inference(), recordable(z).is_inference()
        (True, False)
    """
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value


def as_tensor(name: str, value: Any) -> Tensor:
    """Return a tensor as it is, and the numbers of a NumPy array or the like as a copy.

    Raises:
        TypeError: ``value`` is neither, or holds something other than numbers.
    """
    if isinstance(value, Tensor):
        return value
    if not hasattr(value, "__array__"):
        raise TypeError(f"{name} must be a tensor or an array, got {type(value).__name__}")
    import numpy as np

    array = np.array(value)  # a copy: torch takes neither negative strides nor read-only arrays
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold numbers, got an array of {array.dtype}")
    if array.dtype.itemsize > 8:  # dtypes that torch does not have
        array = array.astype(np.float64)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def as_state(name: str, value: Any, field: nn.Module) -> Tensor:
    """Return states ``(*batch, D)`` as the field can take them.

    Arrays go to the field's device. States take the dtype of the field's weights, unless autocast is on: float64 is
    NumPy's default and rarely a wish, and no layer takes two dtypes.

    Raises:
        TypeError: ``value`` is no tensor or array.
        ValueError: It has no dimension, or is not floating-point.
    """
    if isinstance(value, numbers.Integral):
        shape = ", ".join(str(size) for size in (value, getattr(field, "dim", "D")))
        raise TypeError(f"{name} must be a tensor (*batch, D), got the number {value}: write torch.randn({shape})")
    states = as_tensor(name, value)
    if states.ndim == 0 or not states.is_floating_point():
        raise ValueError(
            f"{name} must be floating-point (*batch, D), got {states.dtype} of shape {tuple(states.shape)}: "
            f"integers become so by .float()"
        )
    weight = next((p for p in field.parameters() if p.is_floating_point()), None)
    if weight is None:
        return states
    if not isinstance(value, Tensor):
        states = states.to(weight.device)
    mixed = states.dtype != torch.float64 and torch.is_autocast_enabled(states.device.type)
    return states if mixed else states.to(weight.dtype)
